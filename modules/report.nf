// From shards to tables, figures and one report.

process ANALYSE_PHOTODESORPTION {
    label 'cpu'
    label 'published'

    input:
    path model_shards,           stageAs: 'model/*'
    path teacher_shards,         stageAs: 'teacher/*'
    path teacher_control_shards, stageAs: 'teacher_control/*'
    path model_control_shards,   stageAs: 'model_control/*'
    path aimd_shards,            stageAs: 'given/*'
    path worth_labelling,        stageAs: 'worth/*'
    path decision // of a campaign that ran until it was enough
    path model,                  stageAs: 'potential/*'
    path reference
    val settings
    val code

    output:
    path 'photodesorption'

    script:
    def worth = (worth_labelling ? "--worth-labelling ${worth_labelling}" : '') + (decision ? " --decision ${decision}" : '')
    """
    ${Settings.file(settings)}
    mkdir -p model teacher teacher_control model_control given
    analyse_photodesorption.py --settings settings.json --model-shards model --teacher-shards teacher \\
        --teacher-control-shards teacher_control --model-control-shards model_control --aimd-shards given ${worth} \\
        ${model ? "--model ${model}" : ''} --reference ${reference} --out photodesorption
    """

    stub:
    'mkdir photodesorption && touch photodesorption/section.json photodesorption/counts.json'
}

// The typical trajectory of each outcome, run again from its id, to look at.
process SHOW_TRAJECTORIES {
    tag "${experiment}"
    label 'gpu'
    label 'published'

    input:
    tuple val(experiment), path(sections, stageAs: 'results/*') // e.g. ['sticking', [sticking/, potential/]]
    val code

    output:
    path "${experiment}_trajectories"

    script:
    """
    show_trajectories.py --experiment ${experiment} --results results --out ${experiment}_trajectories
    """

    stub:
    "mkdir ${experiment}_trajectories && touch ${experiment}_trajectories/section.json"
}

// The first trajectories of an experiment, run again from their ids, for their frames.
process KEEP_TRAJECTORIES {
    tag "${experiment}"
    label 'gpu'
    label 'published'

    input:
    // e.g. ['vibrations', [vibrations/], [campaign_seed: 1, vibrations: […]], ['model'], [potential/]]
    tuple val(experiment), path(sections, stageAs: 'results/*'), val(parameters), val(reads), path(files, stageAs: 'given*/*')
    val n_trajectories
    val n_frames
    val code

    output:
    path "${experiment}_kept"

    script:
    """
    ${Settings.file([parameters: parameters])}
    mv settings.json results/run.json
    keep_trajectories.py --experiment ${experiment} --results results --n-trajectories ${n_trajectories} --n-frames ${n_frames} \\
        ${reads ? "--file-settings ${reads.join(' ')} --files ${files}" : ''} --out ${experiment}_kept
    """

    stub:
    "mkdir ${experiment}_kept && touch ${experiment}_kept/section.json"
}

process VERSIONS {
    label 'cpu'

    input:
    val code

    output:
    path 'versions.json'

    script:
    'collect_versions.py --out versions.json'

    stub:
    "echo '{}' > versions.json"
}

process RENDER_REPORT {
    label 'cpu'
    label 'published'

    input:
    path sections
    path versions
    val parameters
    val code

    output:
    path 'report.html',   emit: report
    path 'versions.json', emit: versions

    script:
    """
    ${Settings.file(parameters)}
    render_report.py --sections ${sections} --parameters settings.json --versions ${versions} --out report.html
    """

    stub:
    'touch report.html'
}
