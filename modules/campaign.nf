// One shard, and the tables, of an experiment that is one campaign.

process RUN_CAMPAIGN {
    tag "${meta.experiment}:${meta.first_id}"
    label 'gpu'
    label 'shard'

    input:
    // e.g. [experiment: 'toy', first_id: 0, n: 100, settings: […], reads: ['model'], code: …], and the files that settings name
    tuple val(meta), path(files, stageAs: 'given*/*')
    val campaign_seed
    val checkpoints
    val code

    output:
    tuple val(meta), path("shard_${meta.first_id}")

    script:
    """
    ${Settings.file(meta.settings)}
    run_campaign.py --experiment ${meta.experiment} --parameters settings.json --campaign-seed ${campaign_seed} \\
        --first-id ${meta.first_id} --n-trajectories ${meta.n} --checkpoints '${checkpoints}' --out shard_${meta.first_id} \\
        --file-settings ${meta.reads.join(' ')} --files ${files}
    """

    stub:
    "mkdir shard_${meta.first_id}"
}

process ANALYSE_CAMPAIGN {
    tag "${meta.experiment}"
    label 'cpu'
    label 'published'

    input:
    tuple val(meta), path(files, stageAs: 'given*/*'), path(shards, stageAs: 'shards/*')
    val campaign_seed
    val code

    output:
    path "${meta.experiment}"

    script:
    """
    ${Settings.file(meta.settings)}
    analyse_campaign.py --experiment ${meta.experiment} --parameters settings.json --campaign-seed ${campaign_seed} \\
        --shards shards --out ${meta.experiment} --file-settings ${meta.reads.join(' ')} --files ${files}
    """

    stub:
    "mkdir ${meta.experiment} && touch ${meta.experiment}/section.json"
}
