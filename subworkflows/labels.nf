// Frames → labelled frames: the cost is said first, then one task per shard, then one file again.

include { PLAN_LABELS; LABEL_FRAMES; GATHER_LABELS } from '../modules/label'

workflow LABEL {
    take:
    frames      // e.g. [[id: 'round-1', level: 'pbe-d3bj/def2-svp', coupling_eV: 2.0, hessian: false, polarizability: false], frames.extxyz]
    settings    // of the run
    checkpoints

    main:
    def own = Given.ownLevel(settings)
    PLAN_LABELS(frames, own, settings.labels.subMap('shard_hours', 'frame_limit_s'), settings.code['plan_labels.py'])
    LABEL_FRAMES(
        PLAN_LABELS.out.transpose(), own, settings.labels.frame_limit_s, checkpoints, settings.code['label_frames.py'],
    )
    GATHER_LABELS(
        LABEL_FRAMES.out.groupTuple().map { meta, labelled, failed ->
            [meta, labelled.sort { it.name }, failed.sort { it.name }]
        },
        settings.code['gather_labels.py'],
    )

    emit:
    labelled = GATHER_LABELS.out.labelled // [meta, labelled-round-1.extxyz]
    failed = GATHER_LABELS.out.failed     // [meta, failed.csv]
}
