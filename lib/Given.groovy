import java.nio.file.Path
import nextflow.Nextflow

/** What settings say of files, potentials and labels, in the form that tasks take. */
class Given {

    static Path file(Object name) { Nextflow.file([glob: false], name) as Path }

    /** Whether a text for a molecule or a crystal means a file. */
    static boolean isFile(Object what) {
        String text = what?.toString() ?: ''
        return !text.startsWith('smiles:') && (text.contains('/') || text.contains('.'))
    }

    /** What it is called where it is staged. */
    private static Object staged(Object what) { isFile(what) ? "given/${file(what).name}".toString() : what }

    private static List<Path> files(List what) { what.findAll { isFile(it) }.unique().collect { file(it) } }

    /** The files among the molecules of the ice, the projectile and the crystal, and what they are called in a task. */
    static List<Path> surfaceFiles(Map s) { files([*s.molecules, s.projectile, s.crystal]) }
    static Map surfaceNames(Map s) {
        [molecules: s.molecules.collect { staged(it) }, projectile: staged(s.projectile), crystal: staged(s.crystal)]
    }

    /** The same of the molecules of aggregates. */
    static List<Path> aggregateFiles(Map p) { files([p.molecule, *p.other_molecules]) }
    static Map aggregateNames(Map p) {
        [molecule: staged(p.molecule), other_molecules: p.other_molecules.collect { staged(it) }]
    }

    /** [dataset, files that it names if it is a samplesheet, [names: what it calls them]]: what a task must have. */
    static List dataset(Map settings, String name) {
        [file(name), settings.files[name].collect { file(it) }, [names: settings.names[name]]]
    }

    /** The sampling windows for a data set's trajectories, where it is to be thinned. */
    static Map windows(Map labels) { labels.thin ? labels.subMap('window_starts_fs', 'window_intervals_fs') : [:] }

    /** What a frame is asked for. */
    static Map asked(Map labels) { labels.subMap('level', 'coupling_eV', 'hessian', 'polarizability') }

    /** The folder that declares a level of the user's own, or []. */
    static Object ownLevel(Map settings) { settings.labels.own_level ? file(settings.labels.own_level) : [] }

    /** A potential that is called by its name, in place of a committee that is trained or of a folder. */
    static Map potential(Map p) { p.potential in ['deepmd', 'gmnn', 'analytic'] ? [:] : [model: p.potential] }

    /** The known truth that labelled, likewise; that of H2 on CO is the steps' default. */
    static Map truth(Map s) { s.label_level == 'h2-co-analytic' ? [:] : [model: s.label_level] }

    /** [[1, b], [0, a]] → [a, b]: one list of what comes with an id, in the order of the ids. */
    static Object inOrder(Object channel) {
        channel.toSortedList { a, b -> a[0] <=> b[0] }.map { items -> items.collect { it[1] } }
    }
}
