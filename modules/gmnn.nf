// Gaussian-moment neural networks: a committee on the frames that the other potentials are trained on.

process TRAIN_GMNN {
    tag "${id}"
    label 'gpu'

    input:
    // e.g. ['final', dataset/]
    tuple val(id), path(dataset)
    val gmnn
    val campaign_seed
    val checkpoints
    val code

    output:
    tuple val(id), path('gmnn')

    script:
    """
    train_gmnn.py --dataset ${dataset} --n-members ${gmnn.n_members} --seed ${campaign_seed} \\
        --n-epochs ${gmnn.n_epochs} --batch-size ${gmnn.batch_size} --learning-rate ${gmnn.learning_rate} \\
        --optimizer ${gmnn.optimizer} --energy-weight ${gmnn.energy_weight} --force-weight ${gmnn.force_weight} \\
        --dipole-weight ${gmnn.dipole_weight} --weight-scale-eV ${gmnn.weight_scale_eV} --patience ${gmnn.patience} \\
        --cutoff-A ${gmnn.cutoff_A} --n-radial ${gmnn.n_radial} --n-basis ${gmnn.n_basis} \\
        --hidden ${gmnn.hidden.join(',')} --precision ${gmnn.precision} \\
        --checkpoints '${checkpoints}' --out gmnn
    """

    stub:
    'mkdir gmnn && touch gmnn/model.h5 gmnn/learning_curve.csv'
}
