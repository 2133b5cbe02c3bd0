// Dynamic training: labelled trajectories, a seed of every arm, how its models do, and the comparison.

process PREPARE_TRAJECTORIES {
    label 'cpu'

    input:
    val settings
    path dataset // [] where the CO field is run
    val code

    output:
    path 'trajectories'

    script:
    def given = dataset ? "--dataset '${dataset}'" : ''
    """
    ${Settings.file(settings)}
    prepare_trajectories.py --settings settings.json ${given} --out trajectories
    """

    stub:
    'mkdir trajectories && touch trajectories/trajectories.csv trajectories/0000.h5'
}

process TRAIN_DYNAMIC {
    tag "seed ${seed}"
    label 'gpu'
    label 'long'

    input:
    val seed // e.g. 0
    path trajectories
    val settings
    val checkpoints
    val code

    output:
    tuple val(seed), path("trained_${seed}")

    script:
    """
    ${Settings.file(settings)}
    train_dynamic.py --settings settings.json --trajectories ${trajectories} --seed-id ${seed} \\
        --checkpoints '${checkpoints}' --out trained_${seed}
    """

    stub:
    "mkdir trained_${seed} && touch trained_${seed}/models.csv"
}

process JUDGE_DYNAMIC {
    tag "seed ${seed}"
    label 'gpu'

    input:
    tuple val(seed), path(trained)
    path trajectories
    val settings
    val code

    output:
    path "judged_${seed}"

    script:
    """
    ${Settings.file(settings)}
    judge_dynamic.py --settings settings.json --trajectories ${trajectories} --trained ${trained} --out judged_${seed}
    """

    stub:
    "mkdir judged_${seed} && touch judged_${seed}/rollouts.csv"
}

process ANALYSE_DYNAMIC {
    label 'cpu'
    label 'published'

    input:
    path trajectories
    path judged,  stageAs: 'judged/*'
    path trained, stageAs: 'trained/*'
    val settings
    val code

    output:
    path 'dynamic_training'

    script:
    """
    ${Settings.file(settings)}
    analyse_dynamic.py --settings settings.json --trajectories ${trajectories} --judged judged --trained ${trained} \\
        --out dynamic_training
    """

    stub:
    'mkdir dynamic_training && touch dynamic_training/section.json dynamic_training/rollouts.csv'
}
