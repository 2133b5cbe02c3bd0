// One round of shards, and whether all so far are enough. What is enough already passes through untouched.

include { EXCITE; RUN_TRAJECTORIES; ENOUGH } from '../modules/trajectories'

workflow ROUND_OF_SHARDS {
    take:
    number // of this round, from 0
    before // [shards: [shard_0, …], enough: false, reason: 'more']
    rounds // [[[id: 'model', …, first_id: 0, n: 100], …], …]: the shards of each round
    starts
    settings
    checkpoints

    main:
    todo = before.filter { !it.enough }
    EXCITE(
        todo.combine(starts).flatMap { now, snapshots, curves, models, tables -> rounds[number].collect { [it, snapshots, curves] } },
        settings.steps['excite'], settings.code['excite.py'],
    )
    RUN_TRAJECTORIES(
        EXCITE.out.combine(starts).map { meta, states, snapshots, curves, models, tables -> [meta, states, tables, models] },
        settings.steps['run-trajectories'], checkpoints, settings.code['run_trajectories.py'],
    )
    ran = todo.combine(
        RUN_TRAJECTORIES.out.toSortedList { a, b -> a[0].first_id <=> b[0].first_id }.filter { it }.map { [it.collect { row -> row[1] }] }
    ).map { now, found -> now.shards + found }
    ENOUGH(
        ran.map { [number, it] },
        [hit: 'desorbed', target_halfwidth: settings.photodesorption.target_halfwidth, round_size: rounds[0].sum { it.n },
         limit: settings.photodesorption.n_trajectories, model_error_scale: settings.model_error_scale],
        settings.code['enough_trajectories.py'],
    )

    emit:
    state = ran.map { [it] }.combine(ENOUGH.out).map { shards, decision ->
        [shards: shards] + new groovy.json.JsonSlurperClassic().parse(decision.toFile()).subMap('enough', 'reason')
    }.mix(before.filter { it.enough })
}
