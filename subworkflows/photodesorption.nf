// CO photodesorption: potential → snapshots → excited trajectories (model, teacher, controls) → statistics.

include { POTENTIAL; in_order                                 } from './potential'
include { THERMALIZE; RUN_TRAJECTORIES; EXCITE; EXCITE as EXCITE_NONE } from '../modules/trajectories'
include { ANALYSE_PHOTODESORPTION                              } from '../modules/report'

// [[id: …, engine: …, first_id: 0, n: 100], …]: the shards of n trajectories
def shards(Map meta, int n, int size) {
    (0..<n).step(size).collect { first -> meta + [first_id: first, n: Math.min(size, n - first)] }
}

workflow PHOTODESORPTION {
    take:
    settings
    checkpoints

    main:
    def s = settings.photodesorption
    def t = settings.thermalization
    POTENTIAL(settings, checkpoints)
    model = POTENTIAL.out.model
    curves = POTENTIAL.out.bond_curves

    THERMALIZE(
        Channel.fromList((0..<t.n_replicas).collect { [it, Math.ceil(t.n_snapshots / t.n_replicas) as int] })
            .combine(model).combine(POTENTIAL.out.aggregates),
        t, settings.campaign_seed, Code.of(projectDir, 'thermalize.py'),
    )
    snapshots = in_order(THERMALIZE.out.snapshots).map { [it] }

    excite_code = Code.of(projectDir, 'excite.py')
    EXCITE(snapshots.combine(curves).map { files, curve -> ['excited', 0, s.n_trajectories, s.excitation, files, curve] }, s, settings.campaign_seed, excite_code)
    EXCITE_NONE(
        snapshots.combine(curves).filter { s.n_control > 0 }.map { files, curve -> ['ground', 0, s.n_control, 'none', files, curve] },
        s, settings.campaign_seed, excite_code,
    )
    excited = EXCITE.out.map { id, states -> states }
    ground = EXCITE_NONE.out.map { id, states -> states }

    coupling_eV = settings.labels.coupling_eV
    n_truth = Math.min(s.n_truth, s.n_trajectories)
    n_control = Math.min(s.n_control, s.n_trajectories)
    from_excited = shards([id: 'model', engine: 'deepmd'], s.n_trajectories, s.shard_size) +
        (n_truth ? shards([id: 'teacher', engine: 'van-hemert', coupling_eV: coupling_eV], n_truth, n_truth) : []) +
        (n_control ? shards([id: 'teacher_control', engine: 'van-hemert', coupling_eV: 0], n_control, n_control) : [])
    from_ground = n_control ? shards([id: 'model_control', engine: 'deepmd'], n_control, s.shard_size) : []
    RUN_TRAJECTORIES(
        Channel.fromList(from_excited).combine(excited)
            .mix(Channel.fromList(from_ground).combine(ground))
            .combine(curves).combine(model),
        s, checkpoints, Code.of(projectDir, 'run_trajectories.py'),
    )
    shards_of = ['model', 'teacher', 'teacher_control', 'model_control'].collect { id ->
        in_order(RUN_TRAJECTORIES.out.filter { meta, shard -> meta.id == id }.map { meta, shard -> [meta.first_id, shard] })
    }
    ANALYSE_PHOTODESORPTION(
        shards_of[0], shards_of[1], shards_of[2], shards_of[3],
        model, file("${projectDir}/assets/reference/photodesorption.csv"),
        settings.subMap('labels', 'photodesorption'), Code.of(projectDir, 'analyse_photodesorption.py'),
    )

    emit:
    sections = POTENTIAL.out.section.mix(ANALYSE_PHOTODESORPTION.out)
}
