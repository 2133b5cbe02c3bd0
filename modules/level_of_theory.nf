// Dimers for the benchmark of levels of theory, and its tables.

process MAKE_DIMERS {
    tag "${reference ? 'reference' : 'levels'}"
    label 'cpu'

    input:
    // e.g. [true, true]: for the reference, with counterpoise
    tuple val(reference), val(counterpoise)
    val dimers
    val code

    output:
    tuple val(reference), path('dimers.extxyz')

    script:
    def settings = dimers + [counterpoise: counterpoise]
    """
    ${Settings.file(settings)}
    make_dimers.py --settings settings.json --out dimers.extxyz
    """

    stub:
    'touch dimers.extxyz'
}

process ANALYSE_LEVELS {
    label 'cpu'
    label 'published'

    input:
    path labelled,  stageAs: 'levels/*'
    path reference, stageAs: 'reference/*'
    path published
    val code

    output:
    path 'level_of_theory'

    script:
    """
    analyse_levels.py --labelled ${labelled} --reference ${reference} --published ${published} --out level_of_theory
    """

    stub:
    'mkdir level_of_theory && touch level_of_theory/section.json level_of_theory/errors.csv'
}
