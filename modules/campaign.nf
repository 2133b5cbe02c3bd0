// One shard, and the tables, of an experiment that is one campaign; one that labels its frames has PySCF in its image.

def run_script(meta, files, campaign_seed, checkpoints) {
    """
    ${Settings.file(meta.settings)}
    run_campaign.py --experiment ${meta.experiment} --parameters settings.json --campaign-seed ${campaign_seed} \\
        --first-id ${meta.first_id} --n-trajectories ${meta.n} --checkpoints '${checkpoints}' --out shard_${meta.first_id} \\
        --file-settings ${meta.reads.join(' ')} --files ${files}
    """
}

def analysis_script(meta, files, campaign_seed) {
    """
    ${Settings.file(meta.settings)}
    analyse_campaign.py --experiment ${meta.experiment} --parameters settings.json --campaign-seed ${campaign_seed} \\
        --shards shards --out ${meta.experiment} --file-settings ${meta.reads.join(' ')} --files ${files}
    """
}

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
    run_script(meta, "${files}", campaign_seed, checkpoints)

    stub:
    "mkdir shard_${meta.first_id}"
}

process RUN_LABELLING {
    tag "${meta.experiment}:${meta.first_id}"
    label 'cpu'
    label 'labels'
    label 'shard'

    input:
    tuple val(meta), path(files, stageAs: 'given*/*')
    val campaign_seed
    val checkpoints
    val code

    output:
    tuple val(meta), path("shard_${meta.first_id}")

    script:
    run_script(meta, "${files}", campaign_seed, checkpoints)

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
    analysis_script(meta, "${files}", campaign_seed)

    stub:
    "mkdir ${meta.experiment} && touch ${meta.experiment}/section.json"
}

process ANALYSE_LABELLING {
    tag "${meta.experiment}"
    label 'cpu'
    label 'labels'
    label 'published'

    input:
    tuple val(meta), path(files, stageAs: 'given*/*'), path(shards, stageAs: 'shards/*')
    val campaign_seed
    val code

    output:
    path "${meta.experiment}"

    script:
    analysis_script(meta, "${files}", campaign_seed)

    stub:
    "mkdir ${meta.experiment} && touch ${meta.experiment}/section.json"
}
