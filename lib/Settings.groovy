import groovy.json.JsonSlurper

/**
 * The parameters' check and their help, from the one place where they are written: nextflow_schema.json.
 *
 * A parameter: type (string, integer, number, boolean, array), default (absent or null: not set), unit, description,
 * enum, minimum, maximum, exclusiveMinimum, exclusiveMaximum, format (file-path, directory-path, path: must exist).
 * An array is given as a comma-separated list; its items hold type, enum, bounds or format, and minItems its length.
 * A group: type object, description, properties.
 */
class Settings {

    /**
     * Return all parameters, typed, defaults filled in. Bad ones, and what `contradictions` (settings → list of
     * lines) finds in good ones: a line each on standard error, exit 2.
     */
    static Map resolve(Map params, Object projectDir, Closure<List<String>> contradictions = { [] }) {
        List<String> problems = []
        Map known = schema(projectDir)
        Map settings = group(known, params, '', names(known), problems)
        if (!problems) {
            problems.addAll(contradictions(settings))
        }
        if (problems) {
            System.err.println(problems.collect { "error: ${it}" }.join('\n'))
            System.exit(2)
        }
        return settings
    }

    /** Return the text of --help: every parameter by group, with type, range, unit, default and description. */
    static String help(Object projectDir) {
        Map known = schema(projectDir)
        List<String> lines = ['Usage: nextflow run main.nf -profile PROFILE [--PARAMETER VALUE ...] [-resume]', '']
        known.findAll { !isGroup(it.value) }.each { name, spec -> lines.addAll(helpOf(name as String, spec as Map)) }
        known.findAll { isGroup(it.value) }.each { name, spec ->
            lines.addAll(['', "${name}: ${spec.description}".toString()])
            spec.properties.each { leaf, leafSpec -> lines.addAll(helpOf("${name}.${leaf}", leafSpec as Map)) }
        }
        return lines.join('\n')
    }

    private static Map schema(Object projectDir) {
        return new JsonSlurper().parse(new File("${projectDir}/nextflow_schema.json"), 'UTF-8').properties as Map
    }

    private static boolean isGroup(Object spec) { return spec.type == 'object' }

    private static List<String> helpOf(String name, Map spec) {
        String unit = spec.unit ? " [${spec.unit}]" : ''
        String value = spec.default == null ? 'not set' : text(spec.default)
        return ["  --${name}${unit}  ${allowed(spec)}; default: ${value}".toString(), "      ${spec.description}".toString()]
    }

    private static List<String> names(Map known, String prefix = '') {
        return known.collectMany { name, spec ->
            isGroup(spec) ? names(spec.properties as Map, "${prefix}${name}.") : [(prefix + name) as String]
        }
    }

    private static Map group(Map known, Map given, String prefix, List<String> allNames, List<String> problems) {
        List<String> unknown = given.keySet().collect { it as String }.findAll { !known.containsKey(it) }
        // Nextflow gives a kebab-case name a camelCase twin: one mistake, one line.
        List<String> kebabs = unknown.findAll { it.contains('-') }.collect { plain(it) }
        unknown.findAll { it.contains('-') || !(plain(it) in kebabs) }.each {
            problems << "--${prefix}${it}: unknown parameter; ${suggestion(prefix + it, allNames)}".toString()
        }
        return known.collectEntries { name, spec ->
            Object value = given.containsKey(name) ? given.get(name) : null // Nextflow warns of an absent one
            String full = prefix + name
            if (!isGroup(spec)) {
                return [name, setting(full, spec as Map, value, problems)]
            }
            if (value != null && !(value instanceof Map)) {
                problems << "--${full}: given ${text(value)}; it is a group: set one of its parameters, as --${full}.${spec.properties.keySet()[0]} VALUE".toString()
                value = null
            }
            return [name, group(spec.properties as Map, (value ?: [:]) as Map, "${full}.", allNames, problems)]
        }
    }

    private static Object setting(String name, Map spec, Object given, List<String> problems) {
        Object value = given == null ? spec.default : given
        if (value == null) {
            return null
        }
        try {
            return typed(spec, value)
        }
        catch (IllegalArgumentException problem) {
            String unit = spec.unit ? ", in ${spec.unit}" : ''
            String detail = problem.message ? " (${problem.message})" : ''
            problems << "--${name}: given ${text(value)}${detail}; allowed: ${allowed(spec)}${unit}".toString()
            return null
        }
    }

    private static Object typed(Map spec, Object value) {
        Object result
        switch (spec.type ?: 'string') {
            case 'array':
                List items = value instanceof Collection ? value as List : value.toString().split(',')*.trim().findAll { it }
                require(!(value instanceof Map) && items.size() >= (spec.minItems ?: 1))
                return items.collect { typed(spec.items as Map, it) }
            case 'boolean':
                require(value.toString() in ['true', 'false'])
                result = value.toString() == 'true'
                break
            case 'integer':
                BigDecimal whole = number(value)
                require(whole.scale() <= 0 && whole.abs() <= Long.MAX_VALUE)
                result = whole.abs() <= Integer.MAX_VALUE ? whole.intValueExact() : whole.longValueExact()
                break
            case 'number':
                result = number(value)
                break
            default:
                require(!(value instanceof Map || value instanceof Collection || value instanceof Boolean))
                result = value.toString()
        }
        require(spec.enum == null || result in spec.enum)
        require(spec.pattern == null || result ==~ spec.pattern)
        require(spec.minimum == null || result >= spec.minimum)
        require(spec.maximum == null || result <= spec.maximum)
        require(spec.exclusiveMinimum == null || result > spec.exclusiveMinimum)
        require(spec.exclusiveMaximum == null || result < spec.exclusiveMaximum)
        if (spec.format) {
            File file = new File(result.toString())
            require(file.exists(), 'which does not exist')
            require(spec.format != 'file-path' || file.file, 'a folder')
            require(spec.format != 'directory-path' || file.directory, 'not a folder')
        }
        return result
    }

    private static void require(boolean condition, String detail = '') {
        if (!condition) {
            throw new IllegalArgumentException(detail)
        }
    }

    /** One form for one value, so that 0.1, 1e-1 and the schema's 0.10 give the same task hash. */
    private static BigDecimal number(Object value) {
        require(value instanceof Number || value instanceof CharSequence)
        BigDecimal exact
        try {
            exact = new BigDecimal(value.toString().trim()).stripTrailingZeros()
        }
        catch (NumberFormatException ignored) {
            throw new IllegalArgumentException('')
        }
        return exact.scale() < 0 && exact.precision() - exact.scale() < 20 ? exact.setScale(0) : exact
    }

    /** What a parameter accepts, in words. */
    private static String allowed(Map spec) {
        if (spec.type == 'array') {
            return "a comma-separated list, each ${allowed(spec.items as Map)}"
        }
        if (spec.enum != null) {
            return spec.enum.size() == 1 ? "${spec.enum[0]}" : "one of ${spec.enum.join(', ')}"
        }
        if (spec.pattern) {
            return "text like ${spec.examples.join(' or ')}"
        }
        String kind = [
            'file-path': 'an existing file', 'directory-path': 'an existing folder', 'path': 'an existing file or folder',
        ][spec.format] ?: [boolean: 'true or false', integer: 'an integer', number: 'a number'][spec.type] ?: 'text'
        if (spec.minimum != null && spec.maximum != null) {
            return "${kind} from ${spec.minimum} to ${spec.maximum}"
        }
        List<String> bounds = [
            minimum: 'at least', exclusiveMinimum: 'above', maximum: 'at most', exclusiveMaximum: 'below',
        ].findAll { spec[it.key] != null }.collect { "${it.value} ${spec[it.key]}".toString() }
        return bounds ? "${kind} ${bounds.join(' and ')}" : kind
    }

    private static String text(Object value) {
        if (value instanceof Map) {
            return "a group (${value.keySet().join(', ')})"
        }
        String flat = (value instanceof Collection ? value.join(',') : value.toString()).replaceAll(/\s+/, ' ')
        return flat ?: 'nothing'
    }

    private static String plain(String name) { return name.toLowerCase().replaceAll('[-_]', '') }

    private static String suggestion(String wrong, List<String> allNames) {
        String leaf = plain(wrong.tokenize('.')[-1])
        String nearest = allNames.min {
            [distance(plain(it), plain(wrong)), distance(plain(it.tokenize('.')[-1]), leaf) + 1].min()
        }
        int difference = [distance(plain(nearest), plain(wrong)), distance(plain(nearest.tokenize('.')[-1]), leaf)].min()
        String all = '--help lists all'
        return difference <= [2, leaf.size().intdiv(3)].max() ? "did you mean --${nearest}? (${all})" : "allowed: see ${all - ' lists all'}"
    }

    /** The edit distance of two words (Levenshtein). */
    private static int distance(String a, String b) {
        List<Integer> previous = (0..b.size()).toList()
        a.eachWithIndex { letter, i ->
            List<Integer> row = [i + 1]
            b.eachWithIndex { other, j ->
                row << [previous[j + 1] + 1, row[j] + 1, previous[j] + (letter == other ? 0 : 1)].min()
            }
            previous = row
        }
        return previous[-1]
    }
}
