// A round of active learning: the step that an experiment names says which frames its committee does not know.

process PROPOSE {
    tag "${id}"
    label 'gpu'
    label 'all_cores'

    input:
    // e.g. ['round-1', 1, ['models', 'models', 'snapshots'], [model_0/, model_1/, snapshots.extxyz]]: option and file, one by one
    tuple val(id), val(number), val(options), path(files, stageAs: 'given*/*')
    val proposing // [step: 'explore-committee', takes: ['n_processes']]
    val settings
    val checkpoints
    val code

    output:
    tuple val(id), path("${id}"), path("${id}/summary.json")

    script:
    def staged = files instanceof List ? files : [files]
    def flags = [options, staged].transpose().groupBy { it[0] }.collect { option, pairs ->
        "--${option.replace('_', '-')} ${pairs.collect { it[1] }.join(' ')}"
    }
    flags += [checkpoints: "'${checkpoints}'", n_processes: task.cpus].subMap(proposing.takes).collect { option, value ->
        "--${option.replace('_', '-')} ${value}"
    }
    """
    ${Settings.file(settings)}
    ${proposing.step.replace('-', '_')}.py --settings settings.json --round-number ${number} \\
        ${flags.join(' ')} --out ${id}
    """

    stub:
    def clean = number > 1
    """
    mkdir ${id} && touch ${id}/candidates.extxyz ${id}/exploration.csv ${id}/model.h5
    echo '{"clean": ${clean}, "n_candidates": ${clean ? 0 : 1}}' > ${id}/summary.json
    """
}
