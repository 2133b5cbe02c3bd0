import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.Files
import java.nio.file.Path

/** Writes run.json: what ran, with which parameters, inputs, code and software, where, when, and how it ended. */
class Provenance {

    static void write(workflow, Map settings, Map images, String code, Path projectDir) {
        Path outdir = Path.of(settings.outdir.toString()).toAbsolutePath()
        Files.createDirectories(outdir)
        Map run = [
            campaign_seed    : settings.campaign_seed,
            experiments      : settings.experiments,
            parameters       : settings,
            success          : workflow.success,
            error            : workflow.errorMessage,
            versions         : read(outdir.resolve('versions.json')) ?: [:],
            nextflow         : workflow.nextflow.version.toString(),
            container_digests: images,
            code_hash        : code,
            git_commit       : commit(projectDir),
            profile          : workflow.profile,
            command          : workflow.commandLine,
            launch_dir       : workflow.launchDir.toString(),
            config_files     : workflow.configFiles*.toString(),
            host             : InetAddress.localHost.hostName,
            start            : workflow.start.toString(),
            end              : workflow.complete.toString(),
            core_hours       : (workflow.stats.succeedDuration.toMillis() + workflow.stats.cachedDuration.toMillis() + workflow.stats.failedDuration.toMillis()) / 3600000d,
            tasks            : [run: workflow.stats.succeedCount, cached: workflow.stats.cachedCount, failed: workflow.stats.failedCount],
            trajectories     : settings.experiments.collectEntries { [it, read(outdir.resolve("${it}/counts.json")) ?: [:]] },
        ]
        Path partial = outdir.resolve('.run.json')
        Files.writeString(partial, JsonOutput.prettyPrint(JsonOutput.toJson(run)) + '\n')
        Files.move(partial, outdir.resolve('run.json'), java.nio.file.StandardCopyOption.REPLACE_EXISTING)
    }

    private static Object read(Path file) {
        Files.exists(file) && Files.size(file) > 0 ? new JsonSlurper().parse(file) : null
    }

    /** The checked-out commit, with '-modified' where tracked files differ; null outside git. */
    private static String commit(Path projectDir) {
        try {
            def git = ['git', '-C', projectDir.toString(), 'describe', '--always', '--abbrev=40', '--dirty=-modified'].execute()
            String text = git.text.trim()
            return git.waitFor() == 0 ? text : null
        }
        catch (IOException ignored) {
            return null
        }
    }
}
