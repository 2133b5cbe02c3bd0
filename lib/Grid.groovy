import nextflow.Global

/** What Nextflow cannot do on a batch scheduler or in containers, found before any task starts. */
class Grid {

    /** Stop with a line on standard error and exit 2 where job arrays or bind mounts would break on the work folder's name. */
    static void check(Object workDir) {
        Map config = Global.session.config as Map
        String executor = config.process?.executor ?: 'local'
        boolean contained = ['apptainer', 'singularity'].any { config[it]?.enabled }
        if ((executor != 'local' || contained) && !(workDir ==~ '[A-Za-z0-9_./+@=-]+')) {
            System.err.println("error: work folder '${workDir}': job arrays and containers need a path of letters, digits and _ . / + @ = - only; start the run elsewhere, or give -work-dir")
            System.exit(2)
        }
    }
}
