import groovy.json.JsonOutput
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.file.Files
import java.nio.file.Path
import java.time.temporal.ChronoUnit
import static java.nio.file.StandardOpenOption.*

/** The folder of results is one run's at a time; src/frazil/holder.py says how a second one knows. */
class Results {
    static final int SIGN_OF_LIFE_ms = 60_000
    private static FileChannel file // its lock ends with it, and it with this process
    private static Map record

    /** Take the folder for this run. A line on standard error and exit 2 where another has it. */
    static void take(Object outdir, workflow, Object projectDir) {
        Path folder = Path.of(outdir.toString())
        while (true) {
            Settings.free(projectDir, outdir)
            try {
                Files.createDirectories(folder)
                file = file ?: FileChannel.open(folder.resolve('.frazil-run'), CREATE, READ, WRITE)
            }
            catch (IOException problem) {
                System.err.println("error: --outdir ${outdir}: it cannot be written (${problem}); give another folder")
                System.exit(2)
            }
            try {
                if (file.tryLock()) {
                    break
                }
            }
            catch (IOException problem) {
                System.err.println("warning: no locks in ${outdir} (${problem.message}); another node's run there is known by its signs of life alone")
                break
            }
        }
        record = [
            run    : workflow.runName,
            process: ProcessHandle.current().pid(),
            host   : ['uname', '-n'].execute().text.trim(),
            folder : workflow.launchDir.toString(),
            since  : workflow.start.truncatedTo(ChronoUnit.SECONDS).toString(),
            ended  : false,
        ]
        tell()
        Thread.startDaemon('results') {
            while (!record.ended) {
                sleep(SIGN_OF_LIFE_ms)
                tell()
            }
        }
    }

    /** Say that the run has ended. The lock stays until the process ends: Nextflow still writes its reports. */
    static void leave() {
        record.ended = true
        tell()
    }

    private static synchronized void tell() {
        ByteBuffer text = ByteBuffer.wrap("${JsonOutput.toJson(record)}\n".getBytes('UTF-8'))
        try {
            int length = text.remaining()
            file.write(text, 0)
            file.truncate(length)
            file.force(false)
        }
        catch (IOException ignored) { } // a full disk: tasks will say so
    }
}
