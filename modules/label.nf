// Frames and their labels: sample → label → data set, and the bond curve of one molecule.

process SAMPLE_FRAMES {
    label 'cpu'
    label 'labels'

    input:
    path model, stageAs: 'moving'   // the folder of a potential that frames move under, or []
    path files, stageAs: 'given/*' // molecules that are files
    val settings
    val code

    output:
    path 'frames.extxyz',     emit: frames
    path 'snapshots.extxyz',  emit: snapshots
    path 'aggregates.extxyz', emit: aggregates

    script:
    """
    ${Settings.file(settings)}
    sample_frames.py --settings settings.json ${model ? "--model ${model}" : ''} --out frames.extxyz \\
        --out-snapshots snapshots.extxyz --out-aggregates aggregates.extxyz
    """

    stub:
    'touch frames.extxyz snapshots.extxyz aggregates.extxyz'
}

process IMPORT_FRAMES {
    tag "${dataset.name}"
    label 'cpu'
    label 'labels'
    label 'published'

    input:
    path dataset
    path files, stageAs: 'files*/*' // those that a samplesheet names, in its order
    path own_level // [] but for a level of the user's own
    val settings // level, coupling_eV, on_suspect
    val same_level
    val folder // of the tables: imports, or imports-EXPERIMENT
    val code

    output:
    path 'imported.extxyz', emit: labelled
    path "${folder}",       emit: section

    script:
    def staged = files ? "--staged ${files}" : ''
    """
    ${Settings.file(settings)}
    import_frames.py --settings settings.json --dataset ${dataset} ${staged} --same-level ${same_level} \\
        ${own_level ? "--own-level ${own_level}" : ''} \\
        --out-folder ${folder} --out imported.extxyz
    """

    stub:
    "mkdir ${folder} && touch ${folder}/section.json imported.extxyz"
}

process PLAN_LABELS {
    tag "${meta.id}"
    label 'cpu'
    label 'labels'
    debug true

    input:
    // e.g. [[id: 'round-1', level: 'pbe-d3bj/def2-svp', coupling_eV: 2.0, hessian: false, polarizability: false], frames.extxyz]
    tuple val(meta), path(frames, stageAs: 'unlabelled/*')
    path own_level // [] but for a level of the user's own
    val limits // shard_hours, frame_limit_s
    val code

    output:
    tuple val(meta), path('shards/*.extxyz')

    script:
    def settings = meta.subMap('level', 'coupling_eV', 'hessian', 'polarizability') + limits
    """
    ${Settings.file(settings)}
    plan_labels.py --settings settings.json --frames ${frames} ${own_level ? "--own-level ${own_level}" : ''} --out shards
    """

    stub:
    'mkdir shards && touch shards/0000.extxyz shards/0001.extxyz'
}

process LABEL_FRAMES {
    tag "${meta.id}:${frames.baseName}"
    label 'cpu'
    label 'labels'
    label 'shard'

    input:
    tuple val(meta), path(frames)
    path own_level
    val frame_limit_s // wall time; 0: any
    val checkpoints
    val code

    output:
    tuple val(meta), path("labelled-${frames.baseName}.extxyz"), path("failed-${frames.baseName}.csv")

    script:
    def settings = meta.subMap('level', 'coupling_eV', 'hessian', 'polarizability') + [frame_limit_s: frame_limit_s]
    """
    ${Settings.file(settings)}
    label_frames.py --settings settings.json --frames ${frames} ${own_level ? "--own-level ${own_level}" : ''} \\
        --checkpoints '${checkpoints}/labels' --allow-none --out labelled-${frames.baseName}.extxyz
    mv failed.csv failed-${frames.baseName}.csv
    """

    stub:
    "touch labelled-${frames.baseName}.extxyz failed-${frames.baseName}.csv"
}

process GATHER_LABELS {
    tag "${meta.id}"
    label 'cpu'
    label 'published_labels'
    debug true

    input:
    tuple val(meta), path(labelled), path(failed)
    val code

    output:
    tuple val(meta), path("${meta.id}/labelled-${meta.id}.extxyz"), emit: labelled
    tuple val(meta), path("${meta.id}/failed.csv"),                emit: failed
    path "${meta.id}/labels.csv",                                  emit: counts

    script:
    """
    gather_labels.py --labelled ${labelled} --failed ${failed} --name ${meta.id} --allow-none ${meta.allow_none ?: false} \\
        --out ${meta.id}
    """

    stub:
    "mkdir ${meta.id} && touch ${meta.id}/labelled-${meta.id}.extxyz ${meta.id}/failed.csv ${meta.id}/labels.csv"
}

process PREPARE_DATASET {
    tag "${id}"
    label 'cpu'
    label 'published_final'

    input:
    tuple val(id), path(frames)
    val settings
    val molecules // CO, or any
    val code

    output:
    tuple val(id), path('dataset')

    script:
    """
    ${Settings.file(settings)}
    prepare_dataset.py --settings settings.json --frames ${frames} --molecules ${molecules} --out dataset
    """

    stub:
    'mkdir dataset && touch dataset/train.extxyz dataset/test.extxyz dataset/validation.extxyz'
}

process BOND_CURVE {
    label 'cpu'
    label 'labels'

    input:
    path own_level
    path curve,  stageAs: 'given/*' // a curve of the user's own, or []
    path frames, stageAs: 'given/*' // labelled frames whose molecules alone give the curve, or []
    val settings
    val code

    output:
    path 'bond_curves.csv',      emit: scan // for training and excitation
    path 'bond_curves-fine.csv', emit: fine // to hold models against

    script:
    """
    ${Settings.file(settings)}
    bond_curve.py --settings settings.json ${own_level ? "--own-level ${own_level}" : ''} \\
        ${curve ? "--curve-file ${curve}" : ''} ${frames ? "--frames ${frames}" : ''} \\
        --out bond_curves.csv --out-fine bond_curves-fine.csv
    """

    stub:
    'touch bond_curves.csv bond_curves-fine.csv'
}
