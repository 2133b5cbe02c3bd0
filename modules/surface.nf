// Ice that projectiles are sent to, and its molecules alone.

process TAKE_MOLECULES_OUT {
    label 'cpu'

    input:
    path frames
    path molecules // [] where those among the frames are all
    val settings
    val code

    output:
    path 'interaction.extxyz',   emit: frames
    path 'molecular_curves.csv', emit: curves

    script:
    """
    ${Settings.file(settings)}
    take_molecules_out.py --settings settings.json --frames ${frames} ${molecules ? "--molecules ${molecules}" : ''} \\
        --out interaction.extxyz --out-curves molecular_curves.csv
    """

    stub:
    'touch interaction.extxyz molecular_curves.csv'
}

process PREPARE_SURFACE {
    tag "${phase}"
    label 'gpu'

    input:
    // e.g. ['crystalline', gmnn/, molecular_curves.csv]; [] for the known truth, and where nothing was taken out
    tuple val(phase), path(model), path(curves)
    path files, stageAs: 'given/*' // molecules and a crystal that are files
    val settings
    val code

    output:
    tuple val(phase), path("surface_${phase}")

    script:
    def potential = (model ? "--model ${model}/model.h5" : '') + (curves ? " --curves ${curves}" : '')
    """
    ${Settings.file(settings)}
    prepare_surface.py --settings settings.json --phase ${phase} ${potential} --out surface_${phase}
    """

    stub:
    "mkdir surface_${phase} && touch surface_${phase}/snapshots.extxyz surface_${phase}/checks.csv"
}
