// Gaussian-moment neural networks: a committee on the frames that the other potentials are trained on.

process TRAIN_GMNN {
    tag "${id}"
    label 'gpu'
    label 'published_last'

    input:
    // e.g. ['final', dataset/]
    tuple val(id), path(dataset)
    val settings
    val checkpoints
    val code

    output:
    tuple val(id), path('gmnn')

    script:
    """
    ${Settings.file(settings)}
    train_gmnn.py --settings settings.json --dataset ${dataset} --checkpoints '${checkpoints}' --out gmnn
    """

    stub:
    'mkdir gmnn && touch gmnn/model.h5 gmnn/learning_curve.csv'
}
