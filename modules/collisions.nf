// Collisions with a surface, a shard at a time.

process RUN_COLLISIONS {
    tag "${meta.id}:${meta.phase}:${meta.first_id}"
    label 'gpu'
    label 'shard'

    input:
    // e.g. [[id: 'model', phase: 'amorphous', first_id: 0, n: 36, campaign: [energies_K: [12, 116, 348], …]], surface/, gmnn/, curves, []];
    // of a round: meta + [name: 'round_1_model_amorphous_0', azimuths: [1, 1]], and what ended some energies in place of the last []
    tuple val(meta), path(surface), path(model), path(curves), path(decision)
    val checkpoints
    val code

    output:
    tuple val(meta), path(name)

    script:
    name = meta.name ?: "${meta.id}_${meta.phase}_${meta.first_id}"
    def potential = (model ? "--model ${model}/model.h5" : '') + (curves ? " --curves ${curves}" : '')
    def round = (meta.azimuths ? "--first-azimuth ${meta.azimuths[0]} --n-azimuths ${meta.azimuths[1]}" : '') +
        (decision ? " --decision ${decision}" : '')
    """
    ${Settings.file(meta.campaign)}
    run_collisions.py --settings settings.json --surfaces ${surface} ${potential} --phase ${meta.phase} ${round} \\
        --first ${meta.first_id} --n-trajectories ${meta.n} --keep-paths ${meta.keep_paths} \\
        --checkpoints '${checkpoints}' --out ${name}
    """

    stub:
    name = meta.name ?: "${meta.id}_${meta.phase}_${meta.first_id}"
    "mkdir ${name} && touch ${name}/trajectories.csv"
}
