// Infrared spectra: minima → active learning → dipoles along dynamics → tables and figures.

process FIND_MINIMA {
    tag "${id}"
    label 'cpu'

    input:
    // e.g. ['trained', clusters.xyz]
    tuple val(id), path(structures, stageAs: 'structures/*')
    val settings
    val checkpoints
    val code

    output:
    tuple val(id), path("minima-${id}.extxyz"), emit: minima
    path "names-${id}.txt",                     emit: names

    script:
    """
    find_minima.py --structures ${structures} --level '${settings.level}' --on-no-minimum ${settings.on_no_minimum} \\
        --n-workers ${task.cpus} --checkpoints '${checkpoints}/labels' \\
        --out minima-${id}.extxyz --out-names names-${id}.txt
    """

    stub:
    "touch minima-${id}.extxyz && echo P1 > names-${id}.txt"
}

process LEARN_ACTIVELY {
    label 'long'

    input:
    path minima
    path labelled // frames to begin with, or []
    val settings
    val campaign_seed
    val checkpoints
    val code

    output:
    path 'learned'

    script:
    def known = labelled ? "--labelled ${labelled}" : ''
    """
    learn_actively.py --minima ${minima} ${known} --level '${settings.level}' --campaign-seed ${campaign_seed} \\
        --n-initial ${settings.n_initial} --initial-temperatures-K ${settings.initial_temperatures_K.join(',')} \\
        --max-rounds ${settings.max_rounds} --patience ${settings.patience} \\
        --temperatures-K ${settings.learning_temperatures_K.join(',')} --n-replicas ${settings.n_learning_replicas} \\
        --duration-fs ${settings.learning_duration_fs} --timestep-fs ${settings.timestep_fs} \\
        --damping-fs ${settings.damping_fs} --max-frames ${settings.max_frames} \\
        --max-force-error-eV-per-A ${settings.max_force_error_eV_per_A} \\
        --max-energy-error-meV-per-atom ${settings.max_energy_error_meV_per_atom} \\
        --max-energy-eV ${settings.max_energy_eV} --max-force-eV-per-A ${settings.max_force_eV_per_A} \\
        --n-test ${settings.n_test} --retraining-epochs ${settings.retraining_epochs} --n-workers ${task.cpus} \\
        --n-members ${settings.n_members} --n-epochs ${settings.n_epochs} --batch-size ${settings.batch_size} \\
        --learning-rate ${settings.learning_rate} --energy-weight ${settings.energy_weight} \\
        --force-weight ${settings.force_weight} --dipole-weight ${settings.dipole_weight} \\
        --cutoff-A ${settings.cutoff_A} --n-radial ${settings.n_radial} --n-basis ${settings.n_basis} \\
        --hidden ${settings.hidden.join(',')} --precision ${settings.precision} \\
        --checkpoints '${checkpoints}' --out learned
    """

    stub:
    'mkdir learned && touch learned/model.h5 learned/rounds.csv'
}

process RUN_DIPOLES {
    tag "${meta.structures.join(' ')}:${meta.engine}"
    label 'gpu'

    input:
    // e.g. [[structures: ['P1', 'P2'], engine: 'model', n_replicas: 8, timestep_fs: 0.5], minima.extxyz, learned/] ([] for 'label')
    tuple val(meta), path(minima), path(learned)
    val settings
    val campaign_seed
    val checkpoints
    val code

    output:
    path "dipoles-*-${meta.engine}.h5"

    script:
    def names = meta.structures.collect { "'${it}'" }
    def model = learned ? "--model ${learned}/model.h5 --members ${settings.members}" : ''
    def kept = learned && settings.dipole_model == 'schnet' ? '--keep-positions' : ''
    """
    run_dipoles.py --minima ${minima} --structures ${names.join(' ')} --engine ${meta.engine} ${model} ${kept} \\
        --temperatures-K ${settings.temperatures_K.join(',')} --n-replicas ${meta.n_replicas} \\
        --duration-fs ${settings.duration_fs} --equilibration-fs ${settings.equilibration_fs} \\
        --timestep-fs ${meta.timestep_fs} --dipole-every-fs ${settings.dipole_every_fs} \\
        --period-fs ${settings.period_fs} --chain ${settings.chain} --campaign-seed ${campaign_seed} \\
        --checkpoints '${checkpoints}' --out .
    """

    stub:
    meta.structures.collect { "touch 'dipoles-${it}-${meta.engine}.h5'" }.join('\n')
}

// SchNet's charges in place of the committee's, in an environment of their own: `make schnet`.
process TRAIN_SCHNET {
    label 'cpu'
    label 'schnet'

    input:
    path learned
    val n_epochs
    val cutoff_A
    val campaign_seed
    val code

    output:
    path 'schnet.h5',  emit: model
    path 'schnet.csv', emit: errors

    script:
    """
    train_schnet.py --learned ${learned} --n-epochs ${n_epochs} --cutoff-A ${cutoff_A} --seed ${campaign_seed} --out schnet.h5
    """

    stub:
    'touch schnet.h5 schnet.csv'
}

process SCHNET_DIPOLES {
    tag "${dipoles.name}"
    label 'cpu'
    label 'schnet'

    input:
    // e.g. [dipoles-P1-model.h5 with positions, schnet.h5]
    tuple path(dipoles, stageAs: 'kept/*'), path(model)
    val code

    output:
    path "${dipoles.name}"

    script:
    """
    schnet_dipoles.py --model ${model} --dipoles ${dipoles} --out ${dipoles.name}
    """

    stub:
    "touch ${dipoles.name}"
}

process ANALYSE_INFRARED {
    label 'cpu'

    input:
    path minima,  stageAs: 'minima/*'
    path learned
    path dipoles, stageAs: 'dipoles/*'
    path isomers, stageAs: 'isomers/*'
    val settings
    val code

    output:
    path 'infrared'

    script:
    def unseen = isomers ? "--isomers ${isomers}" : ''
    """
    analyse_infrared.py --minima ${minima} --learned ${learned} --dipoles ${dipoles} ${unseen} \\
        --depth-fs ${settings.depth_fs} --window ${settings.window} --padding ${settings.padding} \\
        --correction ${settings.correction} --highest-cm1 ${settings.highest_cm1} --out infrared
    """

    stub:
    'mkdir infrared && touch infrared/section.json infrared/spectra.csv infrared/harmonic.csv'
}
