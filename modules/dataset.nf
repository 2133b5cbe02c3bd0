// Labelled frames → what a training reads.

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
