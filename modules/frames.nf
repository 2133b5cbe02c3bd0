// Frames to label and labelled ones: sampled or imported, and the bond curve of one molecule.

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
