// Reactions: a path and frames about it → the committee that learned from them.

process SAMPLE_TUBE {
    label 'long'
    label 'labels'

    input:
    path structures
    val settings
    val code

    output:
    path 'tube/path.extxyz',    emit: path
    path 'tube/initial.extxyz', emit: initial
    path 'tube/tube.extxyz',    emit: tube

    script:
    """
    ${Settings.file(settings)}
    sample_tube.py --settings settings.json --structures ${structures} --out tube
    """

    stub:
    'mkdir tube && touch tube/path.extxyz tube/initial.extxyz tube/tube.extxyz'
}

process KEEP_POTENTIAL {
    label 'cpu'
    label 'published'

    input:
    path round, stageAs: 'round'

    output:
    path 'reaction_potential'

    script:
    """
    mkdir reaction_potential
    cp round/model.h5 round/model.json round/learning_curve.csv round/rounds.csv reaction_potential
    """

    stub:
    'mkdir reaction_potential && touch reaction_potential/model.h5 reaction_potential/model.json'
}
