import groovy.json.JsonSlurper

/** Outputs of a process or a workflow as names, counts and columns: what a snapshot can hold of molecular dynamics. */
class Outputs {

    /** The channels of `process.out` or `workflow.out` (name or number → items), each item described. */
    static Map<String, List> of(Map channels) {
        return channels.findAll { !(it.key.toString().integer && channels.size() > numbered(channels)) }.collectEntries { name, items ->
            [name.toString(), items.collect { describe(it) }.sort { it.toString() }]
        }.sort()
    }

    /** The files of a folder that match a pattern, with their columns or keys: what no processor's rounding changes. */
    static List of(Object folder, String pattern) {
        List found = []
        new File(folder.toString()).eachFileRecurse { if (it.file && it.path =~ pattern) { found << it } }
        return found.collect { "${new File(folder.toString()).toURI().relativize(it.toURI()).path}${contents(it, false)}".toString() }.sort()
    }

    private static int numbered(Map channels) { channels.keySet().count { it.toString().integer } as int }

    private static Object describe(Object item) {
        if (item instanceof Map) {
            return item.collectEntries { [it.key, describe(it.value)] }.sort()
        }
        if (item instanceof Collection) {
            return item.collect { describe(it) }
        }
        File file = new File(item.toString())
        if (!file.absolute || !file.exists()) {
            return item
        }
        return file.directory ? [(file.name): file.listFiles().sort { it.name }.collect { describe(it) }] : file.name + contents(file)
    }

    private static String contents(File file, boolean counts = true) {
        if (!file.size()) {
            return ''
        }
        switch (file.name.tokenize('.')[-1]) {
            case 'csv':
                List<String> lines = file.readLines()
                return ": ${lines[0]}" + (counts ? ": ${lines.size() - 1} rows" : '')
            case 'extxyz':
                return counts ? ": ${file.readLines().count { it ==~ /\d+/ }} frames" : ''
            case 'json':
                Object json = new JsonSlurper().parse(file)
                return json instanceof Map ? ": ${json.keySet().sort().join(', ')}" : ''
            default:
                return ''
        }
    }
}
