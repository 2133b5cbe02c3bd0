// The committee: training, evaluation and choice.

process TRAIN_DEEPMD {
    tag "${id}:${model_id}"
    label 'gpu'

    input:
    // e.g. ['round-1', 0, 8000, dataset/]
    tuple val(id), val(model_id), val(n_steps), path(dataset)
    path bond_curve // [] without a bond baseline
    val deepmd
    val checkpoints
    val code

    output:
    tuple val(id), val(model_id), path("model_${model_id}")

    script:
    def settings = deepmd + [n_steps: n_steps]
    def bonds = bond_curve ? "--bond-curve ${bond_curve}" : ''
    """
    ${Settings.file(settings)}
    train_deepmd.py --settings settings.json --dataset ${dataset} --model-id ${model_id} ${bonds} \\
        --checkpoints '${checkpoints}' --out model_${model_id}
    """

    stub:
    "mkdir model_${model_id} && touch model_${model_id}/model.pb model_${model_id}/model.json"
}

process EVALUATE_MODEL {
    tag "${model_id}"
    label 'cpu'

    input:
    tuple val(model_id), path(model), path(dataset), path(bond_curve)
    val code

    output:
    tuple val(model_id), path("evaluation_${model_id}")

    script:
    """
    evaluate_model.py --model ${model} --dataset ${dataset} \\
        --bond-curve ${bond_curve} --out evaluation_${model_id}
    """

    stub:
    "mkdir evaluation_${model_id}"
}

process SELECT_MODEL {
    label 'cpu'
    label 'published'

    input:
    path models
    path evaluations
    path explorations, stageAs: 'explorations/round_*.csv'
    path reference // the paper's errors, to print beside
    val code

    output:
    path 'potential',                 emit: section
    path 'potential/selected',        emit: model
    path 'potential/bond_curves.csv', emit: bond_curves

    script:
    """
    select_model.py --models ${models} --evaluations ${evaluations} --explorations ${explorations} \\
        --reference ${reference} --out potential
    """

    stub:
    'mkdir -p potential/selected && touch potential/bond_curves.csv potential/section.json'
}
