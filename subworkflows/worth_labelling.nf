// The same starts under every member, and the frames worth labelling along those that end differently.

include { EXCITE as EXCITE_COMPARED; RUN_TRAJECTORIES as RUN_COMPARED; CHOOSE_FRAMES } from '../modules/trajectories'

workflow WORTH_LABELLING {
    take:
    asked    // emits once if it is needed
    starts   // [[thermal/, …], bond_curves.csv, [model_0/, …], [bond_curves.csv of each]]
    settings
    checkpoints

    main:
    def p = settings.photodesorption
    def n = Math.min(p.n_compared, p.n_trajectories)
    needed = asked.combine(starts).map { now, snapshots, curves, models, tables -> [snapshots, curves, models, tables] }
    EXCITE_COMPARED(
        needed.map { snapshots, curves, models, tables -> [[id: 'compared', engine: p.engine, excitation: p.excitation, first_id: 0, n: n], snapshots, curves] },
        settings.steps['excite'], settings.code['excite.py'],
    )
    RUN_COMPARED(
        EXCITE_COMPARED.out.combine(needed).flatMap { meta, states, snapshots, curves, models, tables ->
            [models, tables].transpose().withIndex().collect { own, k -> [meta + [id: "member ${k}", member: k], states, [own[1]], [own[0]]] }
        },
        settings.steps['run-trajectories'] + [keep_frames_trajectories: n], checkpoints, settings.code['run_trajectories.py'],
    )
    CHOOSE_FRAMES(
        RUN_COMPARED.out.toSortedList { a, b -> a[0].member <=> b[0].member }.filter { it }.map { it.collect { row -> row[1] } },
        needed.map { snapshots, curves, models, tables -> models },
        settings.steps['choose-frames'], settings.code['choose_frames.py'],
    )

    emit:
    frames = CHOOSE_FRAMES.out
}
