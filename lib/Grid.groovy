import nextflow.Global

/** What Nextflow cannot do on a batch scheduler, found before any job is submitted. */
class Grid {

    /** Stop with a line on standard error and exit 2 where the scripts of job arrays would break on the work folder's name. */
    static void check(Object workDir) {
        String executor = Global.session.config.process?.executor ?: 'local'
        if (executor != 'local' && !(workDir ==~ '[A-Za-z0-9_./+@:,=-]+')) {
            System.err.println("error: work folder '${workDir}': on ${executor}, job arrays need a path of letters, digits and _ . / + @ : , = - only; start the run elsewhere, or give -work-dir")
            System.exit(2)
        }
    }
}
