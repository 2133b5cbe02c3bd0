// Sticking on ice: frames to train on, binding sites, and all tables.

process SAMPLE_CLUSTERS {
    label 'cpu'
    label 'labels'

    input:
    path files, stageAs: 'given/*' // molecules that are files
    val settings
    val code

    output:
    path 'clusters.extxyz',  emit: clusters
    path 'molecules.extxyz', emit: molecules
    path 'scans.extxyz',     emit: scans

    script:
    """
    ${Settings.file(settings)}
    sample_clusters.py --settings settings.json --out clusters.extxyz --out-molecules molecules.extxyz --out-scans scans.extxyz
    """

    stub:
    'touch clusters.extxyz molecules.extxyz scans.extxyz'
}

process BIND_SITES {
    tag "${phase}"
    label 'gpu'

    input:
    tuple val(phase), path(surface), path(model), path(curves)
    val settings
    val truth // name of the known truth, where it says of each site, too
    val code

    output:
    tuple val(phase), path("sites_${phase}")

    script:
    def potential = (model ? "--model ${model}/model.h5" : '') + (curves ? " --curves ${curves}" : '')
    """
    ${Settings.file(settings)}
    bind_sites.py --settings settings.json --surfaces ${surface} ${potential} ${truth ? "--truth ${truth}" : ''} --out sites_${phase}
    """

    stub:
    "mkdir sites_${phase} && touch sites_${phase}/binding_energies.csv"
}

process ANALYSE_STICKING {
    label 'cpu'
    label 'published'

    input:
    path surfaces,  stageAs: 'surfaces/*'
    path sites,     stageAs: 'sites/*'
    path shards,    stageAs: 'shards/*'
    path attempts,  stageAs: 'attempts/*'
    path truth,     stageAs: 'truth/*'
    path decision // of a campaign that ran until it was enough
    path worth,     stageAs: 'worth/*' // what PROPOSE found where the members' part is too wide
    path reference, stageAs: 'reference/*'
    val settings
    val code

    output:
    path 'sticking'

    script:
    """
    ${Settings.file(settings)}
    mkdir -p truth
    analyse_sticking.py --settings settings.json --surfaces surfaces --sites sites --shards shards --attempts attempts \\
        --truth truth --reference reference ${decision ? "--decision ${decision}" : ''} \\
        ${worth ? "--worth-labelling ${worth}" : ''} --out sticking
    """

    stub:
    'mkdir sticking && touch sticking/section.json sticking/sticking_probabilities.csv'
}
