// From shards to tables, figures and one report.

process ANALYSE_PHOTODESORPTION {
    label 'cpu'

    input:
    path model_shards,           stageAs: 'model/*'
    path teacher_shards,         stageAs: 'teacher/*'
    path teacher_control_shards, stageAs: 'teacher_control/*'
    path model_control_shards,   stageAs: 'model_control/*'
    path model,                  stageAs: 'potential/*'
    path reference
    val settings
    val campaign_seed
    val code

    output:
    path 'photodesorption'

    script:
    """
    mkdir -p model teacher teacher_control model_control
    analyse_photodesorption.py --model-shards model --teacher-shards teacher \\
        --teacher-control-shards teacher_control --model-control-shards model_control \\
        --criteria-A ${settings.criteria_A.join(',')} \\
        --criterion-A ${settings.criterion_A} \\
        --duration-fs ${settings.duration_fs} \\
        --level ${settings.level} --coupling-eV ${settings.coupling_eV} \\
        --model ${model} --reference ${reference} --campaign-seed ${campaign_seed} --out photodesorption
    """

    stub:
    'mkdir photodesorption && touch photodesorption/section.json photodesorption/counts.json'
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

    input:
    path sections
    path versions
    val settings
    val code

    output:
    path 'report.html',   emit: report
    path 'versions.json', emit: versions

    script:
    def json = groovy.json.JsonOutput.prettyPrint(groovy.json.JsonOutput.toJson(settings))
    """
    cat > settings.json <<'END_OF_SETTINGS'
    ${json.replace('\n', '\n    ')}
    END_OF_SETTINGS
    render_report.py --sections ${sections} --settings settings.json --versions ${versions} --out report.html
    """

    stub:
    'touch report.html'
}
