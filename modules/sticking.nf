// Sticking on ice: frames to train on, surfaces, binding sites, collisions, and their tables.

// A potential that is called by its name; the known truth of H2 on CO is the steps' default.
def model_by_name(Map s) { s.potential in ['gmnn', 'analytic'] ? [:] : [model: s.potential] }

// The known truth that labelled, likewise.
def truth_by_name(Map s) { s.label_level == 'h2-co-analytic' ? [:] : [model: s.label_level] }

// The files among the molecules of the ice, the projectile and the crystal, and what they are called where they are staged.
def is_file(Object what) { what && !what.toString().startsWith('smiles:') && (what.toString().contains('/') || what.toString().contains('.')) }
def molecule_files(Map s) {
    [*s.molecules, s.projectile, s.crystal].findAll { is_file(it) }.unique().collect { file(it, glob: false) }
}
def staged_names(Map s) {
    def name = { what -> is_file(what) ? "given/${file(what, glob: false).name}".toString() : what }
    [molecules: s.molecules.collect(name), projectile: name(s.projectile), crystal: name(s.crystal)]
}

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

process VALIDATE_COMMITTEE {
    label 'cpu'
    label 'published'

    input:
    path model
    path curves
    path dataset, stageAs: 'dataset/*'
    path scans // [] where there are none
    val name // of the folder: potential, unless another experiment writes one
    val code

    output:
    path "${name}"

    script:
    """
    validate_committee.py --model ${model} ${curves ? "--curves ${curves}" : ''} --dataset ${dataset} \\
        ${scans ? "--scans ${scans}" : ''} --out ${name}
    # All that --sticking.model takes, and that a repeated collision needs, beside the input for LAMMPS.
    cp ${model}/model.h5 ${model}/learning_curve.csv ${dataset}/validation.extxyz ${curves} ${name}/committee
    ${scans ? "cp -rL ${scans} ${name}/committee/scans.extxyz" : ''}
    find -L ${model} -maxdepth 1 \\( -name model.json -o -name 'adsorbate*' \\) -exec cp {} ${name}/committee \\;
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
