// Molecular dynamics of the aggregates: thermalization, excitation, and shards of the ensemble.

process THERMALIZE {
    tag "${replica}"
    label 'gpu'

    input:
    tuple val(replica), val(n_snapshots), path(model), path(aggregates)
    val thermalization
    val campaign_seed
    val code

    output:
    tuple val(replica), path('thermal/snapshots.extxyz'), emit: snapshots
    path 'thermal/temperature.csv',                       emit: temperature

    script:
    """
    thermalize.py --model ${model} --aggregates ${aggregates} --replica ${replica} \\
        --temperature-K ${thermalization.temperature_K} --damping-fs ${thermalization.damping_fs} \\
        --timestep-fs ${thermalization.timestep_fs} \\
        --equilibration-fs ${thermalization.equilibration_fs} --duration-fs ${thermalization.duration_fs} \\
        --n-snapshots ${n_snapshots} --temperature-low-K ${thermalization.temperature_low_K} \\
        --temperature-high-K ${thermalization.temperature_high_K} --campaign-seed ${campaign_seed} --out thermal
    """

    stub:
    'mkdir thermal && touch thermal/snapshots.extxyz thermal/temperature.csv'
}

process EXCITE {
    tag "${meta.id}:${meta.excitation}:${meta.first_id}"
    label 'cpu'

    input:
    // e.g. [[id: 'model', first_id: 0, n: 40, excitation: 'energy'], [snapshots.extxyz, …], bond_curves.csv]
    tuple val(meta), path(snapshots, stageAs: 'snapshots/snapshots_*.extxyz'), path(bond_curves)
    val excitation
    val campaign_seed
    val code

    output:
    tuple val(meta), path('initial_states.h5')

    script:
    """
    excite.py --snapshots ${snapshots} --bond-curves ${bond_curves} \\
        --first-id ${meta.first_id} --n-trajectories ${meta.n} --excitation ${meta.excitation} \\
        --excitation-energy-eV ${excitation.excitation_energy_eV} \\
        --vibrational-quantum-number ${excitation.vibrational_quantum_number} \\
        --core-radius-A ${excitation.core_radius_A} --campaign-seed ${campaign_seed} --out initial_states.h5
    """

    stub:
    'touch initial_states.h5'
}

process RUN_TRAJECTORIES {
    tag "${meta.id}:${meta.first_id}"
    label 'gpu'

    input:
    // e.g. [[id: 'model', engine: 'deepmd', first_id: 0, n: 40], initial_states.h5, bond_curves.csv, selected/]
    tuple val(meta), path(states), path(bond_curves), path(model)
    val photodesorption
    val checkpoints
    val code

    output:
    tuple val(meta), path("shard_${meta.first_id}")

    script:
    def potential = meta.engine == 'deepmd' ? "--model ${model}" : "--coupling-eV ${meta.coupling_eV}"
    """
    run_trajectories.py --engine ${meta.engine} ${potential} --states ${states} --bond-curves ${bond_curves} \\
        --first-id ${meta.first_id} --trajectories ${meta.n} \\
        --duration-fs ${photodesorption.duration_fs} --timestep-fs ${photodesorption.timestep_fs} \\
        --observe-fs ${photodesorption.observe_fs} --criteria-A ${photodesorption.criteria_A.join(',')} \\
        --criterion-A ${photodesorption.criterion_A} --dissociation-A ${photodesorption.dissociation_A} \\
        --unphysical-contact-A ${photodesorption.unphysical_contact_A} \\
        --keep-frames-trajectories ${photodesorption.keep_frames_trajectories} \\
        --keep-frames-every-fs ${photodesorption.keep_frames_every_fs} \\
        --checkpoints '${checkpoints}' --out shard_${meta.first_id}
    """

    stub:
    "mkdir shard_${meta.first_id}"
}
