// Labels: what they will cost, a task per shard, one file again.

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
