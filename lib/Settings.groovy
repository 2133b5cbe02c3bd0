import groovy.json.JsonOutput
import groovy.json.JsonSlurperClassic

/** The settings of a run, checked by the package's own classes (src/frazil/parameters.py) before any task. */
class Settings {

    /**
     * Return [parameters: …, steps: …, code: …]: all parameters, typed, defaults filled in; what each step takes of
     * them (run-collisions → its settings); and the hash of the code that each script reaches (run_collisions.py → …),
     * an input of its process: -resume sees a task's script and inputs, not what the script imports. Bad ones: a line each on standard error, exit 2.
     */
    static Map resolve(Map params, Object projectDir) {
        Map found = new JsonSlurperClassic().parseText(frazil(projectDir, ['launch'], JsonOutput.toJson(params))) as Map
        return found.asImmutable()
    }

    /** Return the text of --help: every parameter by group, with type, range, unit, default and description. */
    static String help(Object projectDir) { return frazil(projectDir, ['help', 'parameters'], '') }

    /** Return the lines of a script that write a step's settings into settings.json, readable in .command.sh. */
    static String file(Map settings) {
        return "cat > settings.json <<'END_OF_SETTINGS'\n${JsonOutput.prettyPrint(JsonOutput.toJson(settings))}\nEND_OF_SETTINGS"
    }

    /** Return [[first_id: 0, n: 100], …]: n trajectories in shards of a size. */
    static List<Map> shards(int n, int size) {
        return n == 0 ? [] : (0..<n).step(size).collect { first -> [first_id: first, n: Math.min(size, n - first)] }
    }

    /** Let go of the work that only this run kept (frazil.checkpoints). */
    static void sweep(Object projectDir, String checkpoints, Object run) {
        frazil(projectDir, ['sweep', checkpoints, '--run', run.toString()], '')
    }

    /** Write into the report where it came from, now that run.json is there. */
    static void tell(Object projectDir, Object outdir) { frazil(projectDir, ['tell', outdir.toString()], '') }

    /** Go on where no run has the folder of results, else a line on standard error and exit 2. */
    static void free(Object projectDir, Object outdir) { frazil(projectDir, ['free', outdir.toString()], '') }

    private static String frazil(Object projectDir, List<String> words, String input) {
        String own = "${projectDir}/.frazil/venv/bin/python"
        List<String> command = [new File(own).canExecute() ? own : 'python3', "${projectDir}/bin/frazil".toString()] + words
        Process process
        try {
            process = new ProcessBuilder(command).start()
        }
        catch (IOException problem) {
            System.err.println("error: no Python to check the parameters with (${problem.message}); needed: python3 >= 3.9 on PATH")
            System.exit(2)
        }
        process.outputStream.withWriter('UTF-8') { it << input }
        StringBuilder out = new StringBuilder(), err = new StringBuilder()
        process.waitForProcessOutput(out, err)
        if (process.exitValue() != 0) {
            System.err.println(err.toString().trim())
            System.exit(process.exitValue() == 2 ? 2 : 1)
        }
        return out.toString()
    }
}
