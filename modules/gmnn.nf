// Gaussian-moment neural networks: a committee on the frames that the other potentials are trained on, and its errors.

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

process VALIDATE_COMMITTEE {
    label 'cpu'
    label 'published'

    input:
    path model
    path curves
    path dataset, stageAs: 'dataset/*'
    path scans // [] where there are none
    val name // of the folder: potential, unless another experiment writes one
    val code

    output:
    path "${name}"

    script:
    """
    validate_committee.py --model ${model} ${curves ? "--curves ${curves}" : ''} --dataset ${dataset} \\
        ${scans ? "--scans ${scans}" : ''} --out ${name}
    # All that --sticking.model takes, and that a repeated collision needs, beside the input for LAMMPS.
    cp ${model}/model.h5 ${model}/learning_curve.csv ${dataset}/validation.extxyz ${curves} ${name}/committee
    ${scans ? "cp -rL ${scans} ${name}/committee/scans.extxyz" : ''}
    find -L ${model} -maxdepth 1 \\( -name model.json -o -name 'adsorbate*' \\) -exec cp {} ${name}/committee \\;
    """

    stub:
    "mkdir ${name} && touch ${name}/section.json ${name}/models.csv"
}
