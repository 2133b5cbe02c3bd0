// Gaussian-moment neural networks: a committee on the frames that the other potentials are trained on.

process TRAIN_GMNN {
    tag "${id}"
    label 'gpu'
    label 'published_last'

    input:
    // e.g. ['final', dataset/]
    tuple val(id), path(dataset), path(before, stageAs: 'before') // [] or the committee to go on from
    val settings
    val further_epochs // of a training that goes on
    val checkpoints
    val code

    output:
    tuple val(id), path('gmnn')

    script:
    """
    ${Settings.file(settings)}
    train_gmnn.py --settings settings.json --dataset ${dataset} ${before ? "--before before --further-epochs ${further_epochs}" : ''} \
        --checkpoints '${checkpoints}' --out gmnn
    """

    stub:
    'mkdir gmnn && touch gmnn/model.h5 gmnn/learning_curve.csv'
}
