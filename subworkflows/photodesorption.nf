// Photodesorption (of CO, or any molecules): potential → snapshots → excited trajectories (model, teacher, controls) → statistics.

include { POTENTIAL; LEARNT_POTENTIAL } from './potential'
include { PREPARE_AGGREGATES; THERMALIZE; EXCITE; RUN_TRAJECTORIES; FOLLOW_TRAJECTORIES } from '../modules/trajectories'
include { UNTIL_ENOUGH } from './until_enough'
include { WORTH_LABELLING } from './worth_labelling'
include { ANALYSE_PHOTODESORPTION } from '../modules/report'

// [[id: …, engine: …, excitation: …, first_id: 0, n: 100], …]: the shards of n trajectories
def shards(Map meta, int n, int size) {
    Settings.shards(n, size).collect { meta + it }
}

workflow PHOTODESORPTION {
    take:
    settings
    checkpoints

    main:
    def p = settings.photodesorption
    def trained = p.potential == 'deepmd' && !p.model
    def named = Given.potential(p)
    if (trained) {
        POTENTIAL(settings, checkpoints)
        model = POTENTIAL.out.model
        bond_curves = POTENTIAL.out.bond_curves
        aggregates = POTENTIAL.out.aggregates
        prepared = POTENTIAL.out.section
        def alone = !p.model_error || settings.deepmd.n_models == 1
        members = alone ? model.combine(bond_curves).map { folder, curves -> [[folder], [curves]] } : POTENTIAL.out.members
    }
    else {
        def learnt = p.potential == 'gmnn'
        if (learnt) {
            LEARNT_POTENTIAL(settings, checkpoints)
        }
        PREPARE_AGGREGATES(
            learnt ? LEARNT_POTENTIAL.out.model : p.model ? file(p.model, glob: false) : [], Given.aggregateFiles(p),
            settings.labels.bond_curve_file ? file(settings.labels.bond_curve_file, glob: false) : [],
            learnt ? 'aggregates' : 'potential', settings.steps['prepare-aggregates'] + named + Given.aggregateNames(p),
            settings.code['prepare_aggregates.py'],
        )
        made = PREPARE_AGGREGATES.out
        prepared = learnt ? made.mix(LEARNT_POTENTIAL.out.section) : made
        def folder = learnt || p.model
        model = made.map { folder ? it.resolve('model') : [] }
        bond_curves = made.map { it.resolve('bond_curves.csv') }
        aggregates = made.map { it.resolve('aggregates.extxyz') }
        // [[model/] or [] for one by its name, [the curves of each member, or of the mean]]
        members = made.map {
            def each = it.resolve('curves').exists() ? it.resolve('curves').listFiles().sort { file -> file.name } as List : []
            [folder ? [it.resolve('model')] : [], each ?: [it.resolve('bond_curves.csv')]]
        }
    }

    THERMALIZE(
        Channel.fromList((0..<settings.thermalization.n_replicas).toList())
            .combine(model.map { [it] }).combine(aggregates),
        settings.steps['thermalize'] + (trained ? [:] : [engine: 'frazil']) + named, settings.code['thermalize.py'],
    )
    snapshots = Given.inOrder(THERMALIZE.out).map { [it] }

    // The same ids from the same snapshots: model and teacher start from the same states.
    def n_truth = Math.min(p.n_truth, p.n_trajectories)
    def n_control = Math.min(p.n_control, p.n_trajectories)
    def of_teacher = trained && settings.labels.level == 'van-hemert'
    def size = p.shard_size
    def of_model = shards([id: 'model', engine: p.engine, excitation: p.excitation], p.n_trajectories, size)
    // The short ones first, so that they do not run alone at the end.
    ensembles = shards([id: 'model_control', engine: p.engine, excitation: 'none'], n_control, size) +
        shards([id: 'teacher', engine: 'van-hemert', excitation: p.excitation, coupling_eV: settings.labels.coupling_eV], n_truth, n_truth) +
        shards([id: 'teacher_control', engine: 'van-hemert', excitation: p.excitation, coupling_eV: 0], of_teacher ? n_control : 0, n_control) +
        (p.target_halfwidth ? [] : of_model)
    EXCITE(
        Channel.fromList(ensembles).combine(snapshots).combine(bond_curves),
        settings.steps['excite'], settings.code['excite.py'],
    )
    RUN_TRAJECTORIES(
        EXCITE.out.combine(members).map { meta, states, models, curves -> [meta, states, curves, models] },
        settings.steps['run-trajectories'] + named, checkpoints, settings.code['run_trajectories.py'],
    )
    shards_of = ['model', 'teacher', 'teacher_control', 'model_control'].collectEntries { id ->
        [id, Given.inOrder(RUN_TRAJECTORIES.out.filter { meta, shard -> meta.id == id }.map { meta, shard -> [meta.first_id, shard] })]
    }
    worth_labelling = decision = Channel.value([])
    if (p.target_halfwidth) {
        UNTIL_ENOUGH('photodesorption', of_model, snapshots.combine(bond_curves).combine(members), settings, checkpoints)
        shards_of.model = UNTIL_ENOUGH.out.state.map { it.shards }
        decision = UNTIL_ENOUGH.out.state.map { it.decision }
        WORTH_LABELLING(
            UNTIL_ENOUGH.out.state.filter { trained && it.reason == 'members' }.map { true }, snapshots.combine(bond_curves).combine(members), settings, checkpoints,
        )
        worth_labelling = WORTH_LABELLING.out.frames.ifEmpty([])
    }
    aimd = Channel.value([])
    if (p.aimd) {
        (dataset, files, called) = Given.dataset(settings, p.aimd)
        FOLLOW_TRAJECTORIES(
            dataset, files, bond_curves, settings.steps['follow-trajectories'] + called, settings.code['follow_trajectories.py'],
        )
        aimd = FOLLOW_TRAJECTORIES.out
    }
    ANALYSE_PHOTODESORPTION(
        shards_of.model, shards_of.teacher, shards_of.teacher_control, shards_of.model_control, aimd, worth_labelling,
        decision, model, file("${projectDir}/assets/reference/photodesorption.csv"),
        settings.steps['analyse-photodesorption'] + [frames_model: settings.frames.model ?: ''], settings.code['analyse_photodesorption.py'],
    )

    emit:
    sections = prepared.mix(ANALYSE_PHOTODESORPTION.out)
}
