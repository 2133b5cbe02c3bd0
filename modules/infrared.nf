// Infrared spectra: minima → frames to begin with, what was learned → dipoles along dynamics → tables and figures.

process SPLIT_STRUCTURES {
    tag "${id}"
    label 'cpu'
    label 'labels'
    debug true

    input:
    // e.g. ['trained', clusters.xyz]
    tuple val(id), path(structures, stageAs: 'structures/*')
    val settings
    val code

    output:
    tuple val(id), path('split/*.extxyz')

    script:
    """
    ${Settings.file(settings)}
    split_structures.py --settings settings.json --structures ${structures} --out split
    """

    stub:
    'mkdir split && touch split/0000-P1.extxyz'
}

process FIND_MINIMA {
    tag "${structure.baseName}"
    label 'long'
    label 'labels'
    label 'shard'

    input:
    // e.g. ['trained', 0000-P1.extxyz]
    tuple val(id), path(structure, stageAs: 'structures/*')
    val settings
    val checkpoints
    val code

    output:
    tuple val(id), path("${structure.name}")

    script:
    """
    ${Settings.file(settings)}
    find_minima.py --settings settings.json --structures ${structure} --n-workers ${task.cpus} \\
        --checkpoints '${checkpoints}/labels' --out ${structure.name}
    """

    stub:
    "touch ${structure.name}"
}

process GATHER_MINIMA {
    tag "${id}"
    label 'cpu'
    label 'labels'

    input:
    tuple val(id), path(minima, stageAs: 'minima/*')
    val code

    output:
    tuple val(id), path("minima-${id}.extxyz"), emit: minima
    path "names-${id}.txt",                     emit: names

    script:
    """
    gather_minima.py --minima ${minima} --out minima-${id}.extxyz --out-names names-${id}.txt
    """

    stub:
    "touch minima-${id}.extxyz && echo P1 > names-${id}.txt"
}

process DISPLACE_MINIMA {
    label 'cpu'
    label 'labels'

    input:
    path minima
    val settings
    val code

    output:
    path 'frames.extxyz'

    script:
    """
    ${Settings.file(settings)}
    displace_minima.py --settings settings.json --minima ${minima} --out frames.extxyz
    """

    stub:
    'touch frames.extxyz'
}

process GATHER_LEARNED {
    label 'gpu'
    label 'published'

    input:
    path minima
    // What the rounds of learning left, in their order: folders, labelled frames, frames without a label.
    tuple path(rounds), path(frames, stageAs: 'labelled*/*'), path(failed, stageAs: 'failed*/*')
    val settings
    val code

    output:
    path 'learned'

    script:
    """
    ${Settings.file(settings)}
    gather_learned.py --settings settings.json --minima ${minima} --rounds ${rounds} --frames ${frames} --failed ${failed} \\
        --out learned
    """

    stub:
    'mkdir learned && touch learned/model.h5 learned/rounds.csv'
}

process RUN_DIPOLES {
    tag "${names.join(' ')}"
    label 'gpu'
    label 'shard'

    input:
    // e.g. [['P1', 'P2'], minima.extxyz, learned/]
    tuple val(names), path(minima), path(learned)
    val settings
    val keep_positions
    val checkpoints
    val code

    output:
    path 'dipoles-*-model.h5'

    script:
    """
    ${Settings.file(settings)}
    run_dipoles.py --settings settings.json --minima ${minima} --structures ${names.collect { "'${it}'" }.join(' ')} \\
        --engine model --model ${learned}/model.h5 --keep-positions ${keep_positions} \\
        --checkpoints '${checkpoints}' --out .
    """

    stub:
    names.collect { "touch 'dipoles-${it}-model.h5'" }.join('\n')
}

// Replicas under the labelling code itself, from starts of their own.
process RUN_LABEL_DIPOLES {
    tag "${name}"
    label 'cpu'
    label 'labels'
    label 'shard'

    input:
    tuple val(name), path(minima)
    val settings
    val checkpoints
    val code

    output:
    path 'dipoles-*-label.h5'

    script:
    """
    ${Settings.file(settings)}
    run_dipoles.py --settings settings.json --minima ${minima} --structures '${name}' --engine label \\
        --checkpoints '${checkpoints}' --out .
    """

    stub:
    "touch 'dipoles-${name}-label.h5'"
}

// SchNet's charges in place of the committee's, in an environment of their own (`make schnet`) or an image (`make images IMAGES=schnet`).
process TRAIN_SCHNET {
    label 'cpu'
    label 'schnet'
    label 'published'

    input:
    path learned
    val settings
    val code

    output:
    path 'schnet.h5',  emit: model
    path 'schnet.csv', emit: errors

    script:
    """
    ${Settings.file(settings)}
    train_schnet.py --settings settings.json --learned ${learned} --out schnet.h5
    """

    stub:
    'touch schnet.h5 schnet.csv'
}

process SCHNET_DIPOLES {
    tag "${dipoles.name}"
    label 'cpu'
    label 'schnet'

    input:
    // e.g. [dipoles-P1-model.h5 with positions, schnet.h5]
    tuple path(dipoles, stageAs: 'kept/*'), path(model)
    val code

    output:
    path "${dipoles.name}"

    script:
    """
    schnet_dipoles.py --model ${model} --dipoles ${dipoles} --out ${dipoles.name}
    """

    stub:
    "touch ${dipoles.name}"
}

process ANALYSE_INFRARED {
    label 'cpu'
    label 'labels'
    label 'published'

    input:
    path minima,  stageAs: 'minima/*'
    path learned
    path dipoles, stageAs: 'dipoles/*'
    path isomers, stageAs: 'isomers/*'
    val settings
    val code

    output:
    path 'infrared'

    script:
    def unseen = isomers ? "--isomers ${isomers}" : ''
    """
    ${Settings.file(settings)}
    analyse_infrared.py --settings settings.json --minima ${minima} --learned ${learned} --dipoles ${dipoles} ${unseen} \\
        --out infrared
    """

    stub:
    'mkdir infrared && touch infrared/section.json infrared/spectra.csv infrared/harmonic.csv'
}
