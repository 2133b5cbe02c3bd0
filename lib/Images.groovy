import java.security.DigestInputStream
import java.security.MessageDigest
import nextflow.Global

/** The container images of a run: there, made of this code, and the very files that were built. */
class Images {

    /**
     * Return image → SHA-256 of every image that the configuration names; empty where tasks run without containers.
     * A line each on standard error and exit 2 for those that are missing, of other code, or altered.
     */
    static Map<String, String> verified(Object projectDir) {
        Map config = Global.session.config as Map
        if (!['apptainer', 'singularity', 'docker', 'podman', 'charliecloud'].any { config[it]?.enabled }) {
            environment(projectDir)
            return [:]
        }
        Map process = config.process as Map
        Set<String> images = ([process.container] + process.values().findAll { it instanceof Map }*.container).findAll()*.toString() as Set
        String content = ['bash', "${projectDir}/containers/build.sh", 'content'].execute().text.trim()
        Map<String, String> digests = [:]
        String how = config.docker?.enabled ? 'name one by FRAZIL_IMAGE=NAME@sha256:DIGEST (`make docker-image NAME=HOST/USER/frazil` makes it)' : 'build them with `make images`'
        List<String> problems = images ? [] : ["no container images; ${how}, or run with -profile local".toString()]
        images.each { image ->
            File file = new File(image)
            File recorded = new File("${image}.sha256")
            if (!file.absolute) {
                digests[image] = image.contains('@sha256:') ? image.split('@sha256:')[1] : null
                if (!digests[image]) {
                    problems << "container ${image}: given without its digest; allowed: a file of `make images`, or NAME@sha256:DIGEST".toString()
                }
            }
            else if (!file.file || !recorded.file) {
                problems << "container ${image}: there is no such image with its .sha256; build it with `make images`".toString()
            }
            else if (!file.name.contains(content)) {
                problems << "container ${image}: made of other code than this checkout (${content}); build the present one with `make images`".toString()
            }
            else {
                digests[image] = digest(file)
                if (digests[image] != recorded.text.trim()) {
                    problems << "container ${image}: not the file that was built (its digest differs); remove it, and build it again with `make images`".toString()
                }
            }
        }
        if (problems) {
            System.err.println(problems.collect { "error: ${it}" }.join('\n'))
            System.exit(2)
        }
        return digests
    }

    /** Go on where tasks without images will find the package, else a line on standard error and exit 2. */
    private static void environment(Object projectDir) {
        String found = 'import sys; from importlib.util import find_spec; sys.exit(0 if find_spec("frazil") else 1)'
        ProcessBuilder python = new ProcessBuilder('python3', '-c', found).redirectErrorStream(true)
        Map<String, String> env = python.environment()
        env['PATH'] = "${projectDir}/.frazil/venv/bin:${env['PATH']}".toString()
        Process process
        try {
            process = python.start()
            process.waitForProcessOutput()
        }
        catch (IOException problem) {
            process = null
        }
        if (process?.exitValue() != 0) {
            System.err.println("error: no environment for tasks: ${projectDir} has no .frazil/venv, and python3 on PATH knows no frazil; " +
                "make it by `make -C ${projectDir} setup` (3 GB, once), or run in images (-profile apptainer or docker)")
            System.exit(2)
        }
    }

    private static String digest(File file) {
        MessageDigest digest = MessageDigest.getInstance('SHA-256')
        new DigestInputStream(file.newInputStream(), digest).withStream { stream ->
            byte[] buffer = new byte[1 << 20]
            while (stream.read(buffer) >= 0) { }
        }
        return digest.digest().encodeHex().toString()
    }
}
