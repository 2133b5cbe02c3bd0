import groovy.io.FileType
import java.security.MessageDigest

/**
 * The identity of the code that a process runs, as an input of the process.
 *
 * Nextflow's -resume sees a task's script and inputs, not what the script imports. `val code` with
 * Code.of(projectDir, 'train_deepmd.py') makes a task run again when a line that it can reach has changed, and no other.
 */
class Code {

    private static final String STATEMENT = /(?m)^[ \t]*(?:from[ \t]+(frazil[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+(frazil[^\n#]*))/

    /**
     * Return 16 hexadecimal digits over bin/SCRIPT, the modules of the package that it imports (at any depth and
     * indentation), the asset files that these name, and requirements.lock.
     */
    static String of(Object projectDir, String... scripts) {
        File root = new File(projectDir.toString())
        SortedMap<String, File> files = new TreeMap<>()
        List<File> queue = scripts.collect { new File(root, "bin/${it}") }
        while (queue) {
            File file = queue.pop()
            String name = root.toPath().relativize(file.toPath())
            if (files.put(name, file) == null && name.endsWith('.py')) {
                String text = file.getText('UTF-8')
                queue.addAll(imports(root, file, text))
                queue.addAll(assets(root, text))
            }
        }
        return digest(files, root)
    }

    /** Return 16 hexadecimal digits over everything that a run can reach: graph, scripts, package, assets and lock file. */
    static String ofAll(Object projectDir) {
        File root = new File(projectDir.toString())
        SortedMap<String, File> files = new TreeMap<>(['main.nf': new File(root, 'main.nf')])
        ['modules', 'subworkflows', 'lib', 'bin', 'src/frazil', 'assets'].collect { new File(root, it) }.each { part ->
            part.eachFileRecurse(FileType.FILES) { files[root.toPath().relativize(it.toPath()) as String] = it }
        }
        return digest(files.findAll { !it.key.contains('__pycache__') } as TreeMap, root)
    }

    private static String digest(SortedMap<String, File> files, File root) {
        files['requirements.lock'] = new File(root, 'requirements.lock')
        MessageDigest digest = MessageDigest.getInstance('SHA-256')
        files.each { name, file ->
            digest.update("${name}\n${file.length()}\n".getBytes('UTF-8'))
            digest.update(file.bytes)
        }
        return digest.digest().encodeHex().toString().take(16)
    }

    private static Set<File> imports(File root, File importer, String text) {
        Set<File> found = []
        text.eachMatch(STATEMENT) { List<String> match ->
            if (match[1]) {
                found.addAll(module(root, importer, match[1]))
                // A name imported from a package may itself be a module.
                match[2].findAll(/\w+/).each { found.addAll(chain(root, "${match[1]}.${it}")) }
            }
            else {
                match[3].split(',').each { found.addAll(module(root, importer, it.trim().tokenize(' ')[0])) }
            }
        }
        return found
    }

    private static List<File> module(File root, File importer, String name) {
        List<File> files = chain(root, name)
        if (!files) {
            throw new IllegalArgumentException("${importer} imports ${name}, which is not in src/")
        }
        return files
    }

    /** The files that importing a module runs: the __init__.py of its parents and its own; none when there is no such module. */
    private static List<File> chain(File root, String name) {
        File folder = new File(root, "src/${name.replace('.', '/')}")
        File file = new File("${folder}.py")
        if (!file.file && !folder.directory) {
            return []
        }
        List<File> files = file.file ? [file] : []
        for (; folder.name != 'src'; folder = folder.parentFile) {
            File init = new File(folder, '__init__.py')
            if (init.file) {
                files << init
            }
        }
        return files
    }

    /** Data files of the package and of assets/ whose name, or whose folder's name, is quoted in the text. */
    private static List<File> assets(File root, String text) {
        List<File> found = []
        ['src/frazil', 'assets'].collect { new File(root, it) }.findAll { it.directory }.each { folder ->
            folder.eachFileRecurse { data ->
                boolean code = data.directory || data.name.endsWith('.py') || data.path.contains('__pycache__')
                if (!code && [data.name, data.parentFile.name].any { text =~ "[\"'/]${java.util.regex.Pattern.quote(it)}[\"'/]" }) {
                    found << data
                }
            }
        }
        return found
    }
}
