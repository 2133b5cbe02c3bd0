// Molecular dynamics of the aggregates: preparation, thermalization, excitation, and shards of the ensemble.

// Aggregates of any molecules under a potential by its name or in a folder, and what the bond does.
process PREPARE_AGGREGATES {
    label 'gpu'
    label 'published'

    input:
    path model,      stageAs: 'model'   // [] for one by its name
    path files,      stageAs: 'given/*' // molecules that are files
    path bond_curve, stageAs: 'curve/*' // [] for the potential's own
    val name // of the folder: potential, unless a committee was trained that is called so
    val settings
    val code

    output:
    path "${name}"

    script:
    """
    ${Settings.file(settings)}
    prepare_aggregates.py --settings settings.json ${model ? "--model ${model}" : ''} \\
        ${bond_curve ? "--bond-curve-file ${bond_curve}" : ''} --out ${name}
    ${model ? "cp -rL ${model} ${name}/model" : ''}
    """

    stub:
    "mkdir -p ${name}/model && touch ${name}/section.json ${name}/aggregates.extxyz ${name}/bond_curves.csv"
}

process THERMALIZE {
    tag "${replica}"
    label 'gpu'
    label 'shard'

    input:
    tuple val(replica), path(model), path(aggregates) // [] for a potential by its name
    val settings
    val code

    output:
    tuple val(replica), path('thermal')

    script:
    """
    ${Settings.file(settings)}
    thermalize.py --settings settings.json ${model ? "--model ${model}" : ''} --aggregates ${aggregates} --replica ${replica} --out thermal
    """

    stub:
    'mkdir thermal'
}

process EXCITE {
    tag "${meta.id}:${meta.excitation}:${meta.first_id}"
    label 'cpu'

    input:
    // e.g. [[id: 'model', first_id: 0, n: 40, excitation: 'energy'], [thermal/, …], bond_curves.csv]
    tuple val(meta), path(thermal, stageAs: 'thermal_*'), path(bond_curves)
    val settings
    val code

    output:
    tuple val(meta), path('initial_states.h5')

    script:
    def snapshots = [thermal].flatten().collect { "${it}/snapshots.extxyz" }.join(' ')
    """
    ${Settings.file(settings)}
    excite.py --settings settings.json --snapshots ${snapshots} --bond-curves ${bond_curves} \\
        --first-id ${meta.first_id} --n-trajectories ${meta.n} --excitation ${meta.excitation} --out initial_states.h5
    """

    stub:
    'touch initial_states.h5'
}

process RUN_TRAJECTORIES {
    tag "${meta.id}:${meta.first_id}"
    label 'gpu'
    label 'shard'

    input:
    // e.g. [[id: 'model', engine: 'frazil', first_id: 0, n: 40], initial_states.h5, [bond_curves.csv, …], [model_0/, …]]
    tuple val(meta), path(states), path(bond_curves, stageAs: 'curves/member_*.csv'), path(model)
    val trajectories
    val checkpoints
    val code

    output:
    tuple val(meta), path("shard_${meta.first_id}")

    script:
    def settings = trajectories + meta.subMap('coupling_eV', 'engine')
    def potential = meta.engine != 'van-hemert' && model ? "--model ${model}" : ''
    """
    ${Settings.file(settings)}
    run_trajectories.py --settings settings.json ${potential} --states ${states} --bond-curves ${bond_curves} \\
        --first-id ${meta.first_id} --n-trajectories ${meta.n} --checkpoints '${checkpoints}' --out shard_${meta.first_id}
    """

    stub:
    "mkdir shard_${meta.first_id}"
}

// Trajectories that another program ran, told by the model's criteria.
process FOLLOW_TRAJECTORIES {
    tag "${dataset.name}"
    label 'cpu'

    input:
    path dataset
    path files, stageAs: 'files*/*' // those that a samplesheet names, in its order
    path bond_curves
    val settings
    val code

    output:
    path 'aimd'

    script:
    def staged = files ? "--staged ${files}" : ''
    """
    ${Settings.file(settings)}
    follow_trajectories.py --settings settings.json --dataset ${dataset} ${staged} --bond-curves ${bond_curves} --out aimd
    """

    stub:
    'mkdir aimd'
}

// Whether the trajectories so far are enough for the half-width that was asked for, of each probability.
process ENOUGH {
    tag "${number}"
    label 'cpu'

    input:
    tuple val(number), path(shards, stageAs: 'shards/*')
    val asked // [experiment: 'photodesorption', target_halfwidth: 0.03, round_size: 200, limit: 11000, …]
    val code

    output:
    path 'decision.json'

    script:
    def flags = asked.collect { name, value -> "--${name.replace('_', '-')} ${value}" }.join(' ')
    """
    enough_trajectories.py --trajectories shards ${flags} --out decision.json
    """

    stub:
    def phases = ['crystalline', 'amorphous'].collect { [phase: it, enough: number > 0 || it == 'amorphous'] }
    "echo '${groovy.json.JsonOutput.toJson([enough: number > 0, reason: 'members', conditions: phases])}' > decision.json"
}

// Frames to label, where the members and not the number of trajectories limit what is known.
process CHOOSE_FRAMES {
    label 'gpu'

    input:
    path shards, stageAs: 'member_*/*'
    path models
    val settings
    val code

    output:
    path 'apart'

    script:
    """
    ${Settings.file(settings)}
    choose_frames.py --settings settings.json --shards ${shards} --models ${models} --out apart
    """

    stub:
    'mkdir apart'
}
