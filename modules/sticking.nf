// H2 on CO ice: frames to train on, surfaces, binding sites, collisions, and their tables.

process SAMPLE_CLUSTERS {
    label 'cpu'

    input:
    val scale
    val n_placed
    val n_scans
    val campaign_seed
    val code

    output:
    path 'clusters.extxyz',  emit: clusters
    path 'molecules.extxyz', emit: molecules
    path 'scans.extxyz',     emit: scans

    script:
    """
    sample_clusters.py --scale ${scale} --n-placed ${n_placed} --n-scans ${n_scans} --campaign-seed ${campaign_seed} \\
        --out clusters.extxyz --out-molecules molecules.extxyz --out-scans scans.extxyz
    """

    stub:
    'touch clusters.extxyz molecules.extxyz scans.extxyz'
}

process TAKE_MOLECULES_OUT {
    label 'cpu'

    input:
    path frames
    path molecules
    val force_scale_eV_per_A
    val code

    output:
    path 'interaction.extxyz',   emit: frames
    path 'molecular_curves.csv', emit: curves

    script:
    """
    take_molecules_out.py --frames ${frames} --molecules ${molecules} \\
        --force-scale-eV-per-A ${force_scale_eV_per_A} --out interaction.extxyz \\
        --out-curves molecular_curves.csv
    """

    stub:
    'touch interaction.extxyz molecular_curves.csv'
}

process VALIDATE_COMMITTEE {
    label 'cpu'

    input:
    path model
    path curves
    path dataset, stageAs: 'dataset/*'
    path scans
    val name // of the folder: potential, unless another experiment writes one
    val code

    output:
    path "${name}"

    script:
    """
    validate_committee.py --model ${model} --curves '${curves}' --dataset ${dataset} --scans ${scans} --out ${name}
    # All that --sticking.model takes, and that a repeated collision needs.
    mkdir ${name}/committee
    cp ${model}/model.h5 ${model}/learning_curve.csv ${dataset}/validation.extxyz ${curves} ${name}/committee
    cp -rL ${scans} ${name}/committee/scans.extxyz
    """

    stub:
    "mkdir ${name} && touch ${name}/section.json ${name}/models.csv"
}

process PREPARE_SURFACE {
    tag "${phase}"
    label 'gpu'

    input:
    // e.g. ['crystalline', gmnn/, molecular_curves.csv]; [] for the known truth, and where nothing was taken out
    tuple val(phase), path(model), path(curves)
    val s
    val campaign_seed
    val code

    output:
    tuple val(phase), path("surface_${phase}")

    script:
    """
    prepare_surface.py --phase ${phase} --model ${model ? "${model}/model.h5" : 'analytic'} --curves '${curves}' \\
        --n-molecules ${s["n_${phase}"]} --n-fixed ${s["n_${phase}_fixed"]} --lattice-A ${s.lattice_A} \\
        --face ${s.face.join(',')} --radius-A ${s.radius_A} --shell-A ${s.shell_A} \\
        --density-g-per-cm3 ${s.density_g_per_cm3} \\
        --surface-temperatures-K ${s.surface_temperatures_K.join(',')} --n-snapshots ${s.n_snapshots} \\
        --thermalization-fs ${s.thermalization_fs} --anneal-temperature-K ${s.anneal_temperature_K} \\
        --anneal-fs ${s.anneal_fs} --timestep-fs ${s.surface_timestep_fs} --damping-fs ${s.damping_fs} \\
        --campaign-seed ${campaign_seed} --out surface_${phase}
    """

    stub:
    "mkdir surface_${phase} && touch surface_${phase}/snapshots.extxyz surface_${phase}/checks.csv"
}

process BIND_SITES {
    tag "${phase}"
    label 'gpu'

    input:
    tuple val(phase), path(surface), path(model), path(curves)
    val s
    val campaign_seed
    val code

    output:
    tuple val(phase), path("sites_${phase}")

    script:
    """
    bind_sites.py --surfaces ${surface} --model ${model ? "${model}/model.h5" : 'analytic'} --curves '${curves}' --truth ${s.truth} \\
        --n-surfaces ${s.binding_surfaces} --area-A2 ${s.binding_area_A2} --spacing-A ${s.binding_spacing_A} \\
        --clearance-A ${s.binding_clearance_A} --max-force-eV-per-A ${s.binding_max_force_eV_per_A} \\
        --max-steps ${s.binding_max_steps} --width ${s.width} --campaign-seed ${campaign_seed} --out sites_${phase}
    """

    stub:
    "mkdir sites_${phase} && touch sites_${phase}/binding_energies.csv"
}

process RUN_COLLISIONS {
    tag "${meta.id}:${meta.phase}:${meta.first}"
    label 'gpu'

    input:
    // e.g. [[id: 'model', phase: 'amorphous', first: 0, n: 36, campaign: [energies_K: [12, 116, 348], …]], surface/, gmnn/, curves]
    tuple val(meta), path(surface), path(model), path(curves)
    val campaign_seed
    val checkpoints
    val code

    output:
    tuple val(meta), path("${meta.id}_${meta.phase}_${meta.first}")

    script:
    def c = meta.campaign
    """
    run_collisions.py --surfaces ${surface} --model ${model ? "${model}/model.h5" : 'analytic'} --curves '${curves}' \\
        --phase ${meta.phase} --first ${meta.first} --trajectories ${meta.n} \\
        --surface-temperatures-K ${c.surface_temperatures_K.join(',')} --energies-K ${c.energies_K.join(',')} \\
        --polar-max-deg ${c.polar_max_deg} --n-polar ${c.n_polar} --n-azimuth ${c.n_azimuth} \\
        --azimuth ${c.azimuth} --aim-radius-A ${c.aim_radius_A} --start-height-A ${c.start_height_A} \\
        --bounce-A ${c.bounce_A} --timestep-fs ${c.timestep_fs} --duration-fs ${c.duration_fs} \\
        --width ${c.width} --model-error ${c.model_error} --keep-paths ${c.keep_paths} \\
        --campaign-seed ${campaign_seed} --checkpoints '${checkpoints}' --out ${meta.id}_${meta.phase}_${meta.first}
    """

    stub:
    "mkdir ${meta.id}_${meta.phase}_${meta.first} && touch ${meta.id}_${meta.phase}_${meta.first}/trajectories.csv"
}

process ANALYSE_STICKING {
    label 'cpu'

    input:
    path surfaces,  stageAs: 'surfaces/*'
    path sites,     stageAs: 'sites/*'
    path shards,    stageAs: 'shards/*'
    path attempts,  stageAs: 'attempts/*'
    path truth,     stageAs: 'truth/*'
    path reference, stageAs: 'reference/*'
    val s
    val campaign_seed
    val code

    output:
    path 'sticking'

    script:
    """
    mkdir -p truth
    analyse_sticking.py --surfaces surfaces --sites sites --shards shards --attempts attempts --truth truth \\
        --gas-temperatures-K ${s.gas_temperatures_K.join(',')} \\
        --residence-temperatures-K ${s.residence_temperatures_K.join(',')} \\
        --attempts-after-fs ${s.attempts_after_fs} --reference reference --campaign-seed ${campaign_seed} --out sticking
    """

    stub:
    'mkdir sticking && touch sticking/section.json sticking/sticking_probabilities.csv'
}
