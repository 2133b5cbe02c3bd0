// Frames and their labels: sample → label → data set, and the bond curve of one molecule.

process SAMPLE_FRAMES {
    label 'cpu'

    input:
    val settings
    val campaign_seed
    val code

    output:
    path 'frames.extxyz',     emit: frames
    path 'snapshots.extxyz',  emit: snapshots
    path 'aggregates.extxyz', emit: aggregates

    script:
    """
    sample_frames.py --level ${settings.level} --coupling-eV ${settings.coupling_eV} \\
        --n-molecules ${settings.n_molecules} --aggregate-radius-A ${settings.aggregate_radius_A} \\
        --n-aggregates ${settings.n_aggregates} \\
        --n-packings ${settings.n_packings} --n-thermal ${settings.n_thermal} --thermal-duration-fs ${settings.thermal_duration_fs} \\
        --thermal-temperature-K ${settings.thermal_temperature_K} \\
        --n-excited ${settings.n_excited} --excited-duration-fs ${settings.excited_duration_fs} \\
        --excitation-energy-eV ${settings.excitation_energy_eV} \\
        --core-radius-A ${settings.core_radius_A} \\
        --timestep-fs ${settings.timestep_fs} \\
        --window-starts-fs ${settings.window_starts_fs.join(',')} \\
        --window-intervals-fs ${settings.window_intervals_fs.join(',')} \\
        --n-contacts ${settings.n_contacts} --n-compressed ${settings.n_compressed} \\
        --bond-spread-A ${settings.bond_spread_A} \\
        --contact-range-A ${settings.contact_low_A},${settings.contact_high_A} \\
        --campaign-seed ${campaign_seed} --out-snapshots snapshots.extxyz --out-aggregates aggregates.extxyz \\
        --out frames.extxyz
    """

    stub:
    'touch frames.extxyz snapshots.extxyz aggregates.extxyz'
}

process IMPORT_FRAMES {
    tag "${dataset.name}"
    label 'cpu'

    input:
    path dataset
    path files, stageAs: 'files*/*' // those that a samplesheet names, in its order
    val labels // level, coupling_eV, on_suspect
    val same_level
    val folder // of the tables: imports, or imports-EXPERIMENT
    val code

    output:
    path 'imported.extxyz', emit: labelled
    path "${folder}",       emit: section

    script:
    def staged = files ? "--staged ${files}" : ''
    """
    import_frames.py --dataset ${dataset} ${staged} --on-suspect ${labels.on_suspect} \
        --level '${labels.level}' --coupling-eV ${labels.coupling_eV} --same-level ${same_level} \
        --out-folder ${folder} --out imported.extxyz
    """

    stub:
    "mkdir ${folder} && touch ${folder}/section.json imported.extxyz"
}

// What a level is asked for besides energy, forces and dipole.
def extras(Map meta) { ['hessian', 'polarizability'].findAll { meta[it] }.collect { "--${it}" }.join(' ') }

process PLAN_LABELS {
    tag "${meta.id}"
    label 'cpu'
    debug true

    input:
    // e.g. [[id: 'round-1', level: 'pbe-d3bj/def2-svp', coupling_eV: 2.0], frames.extxyz]
    tuple val(meta), path(frames, stageAs: 'unlabelled/*')
    val shard_hours
    val code

    output:
    tuple val(meta), path('shards/*.extxyz')

    script:
    """
    plan_labels.py --frames ${frames} --level '${meta.level}' --coupling-eV ${meta.coupling_eV} \
        ${extras(meta)} --shard-hours ${shard_hours} --out shards
    """

    stub:
    'mkdir shards && touch shards/0000.extxyz shards/0001.extxyz'
}

process LABEL_FRAMES {
    tag "${meta.id}:${frames.baseName}"
    label 'cpu'

    input:
    tuple val(meta), path(frames)
    val frame_limit_s // of PySCF, wall time; 0: any
    val checkpoints
    val code

    output:
    tuple val(meta), path("labelled-${frames.baseName}.extxyz"), path("failed-${frames.baseName}.csv")

    script:
    """
    label_frames.py --frames ${frames} --level '${meta.level}' --coupling-eV ${meta.coupling_eV} ${extras(meta)} \
        --frame-limit-s ${frame_limit_s} --checkpoints '${checkpoints}/labels' --allow-none --out labelled-${frames.baseName}.extxyz
    mv failed.csv failed-${frames.baseName}.csv
    """

    stub:
    "touch labelled-${frames.baseName}.extxyz failed-${frames.baseName}.csv"
}

process GATHER_LABELS {
    tag "${meta.id}"
    label 'cpu'
    debug true

    input:
    tuple val(meta), path(labelled), path(failed)
    val code

    output:
    tuple val(meta), path("${meta.id}/labelled-${meta.id}.extxyz"), emit: labelled
    path "${meta.id}/*.csv",                                       emit: tables

    script:
    """
    gather_labels.py --labelled ${labelled} --failed ${failed} --name ${meta.id} --out ${meta.id}
    """

    stub:
    "mkdir ${meta.id} && touch ${meta.id}/labelled-${meta.id}.extxyz ${meta.id}/failed.csv ${meta.id}/labels.csv"
}

process PREPARE_DATASET {
    tag "${id}"
    label 'cpu'

    input:
    tuple val(id), path(frames)
    val labels
    val campaign_seed
    val code

    output:
    tuple val(id), path('dataset')

    script:
    """
    prepare_dataset.py --frames ${frames} --molecules ${labels.molecules ?: 'CO'} --split-by ${labels.split_by} \\
        --train-fraction ${labels.train_fraction} --validation-fraction ${labels.validation_fraction} \\
        --max-force-eV-per-A ${labels.max_force_eV_per_A} --campaign-seed ${campaign_seed} --out dataset
    """

    stub:
    'mkdir dataset && touch dataset/train.extxyz dataset/test.extxyz dataset/validation.extxyz'
}

process BOND_CURVE {
    label 'cpu'

    input:
    val labels
    val code

    output:
    path 'bond_curves.csv',      emit: scan // for training and excitation
    path 'bond_curves-fine.csv', emit: fine // to hold models against

    script:
    """
    bond_curve.py --level '${labels.level}' --coupling-eV ${labels.coupling_eV} \\
        --out bond_curves.csv --out-fine bond_curves-fine.csv
    """

    stub:
    'touch bond_curves.csv bond_curves-fine.csv'
}
