// One round of shards, and whether all so far are enough. What is enough already passes through untouched.

include { EXCITE; RUN_TRAJECTORIES; ENOUGH } from '../modules/trajectories'
include { RUN_COLLISIONS } from '../modules/collisions'

workflow ROUND_OF_SHARDS {
    take:
    number // of this round, from 0
    before // [shards: [shard_0, …], truth: [], decision: decision.json, conditions: […], enough: false, reason: 'more']
    experiment
    rounds // [[[id: 'model', …, first_id: 0, n: 100], …], …]: the shards of each round; sticking: [[0, 1], …], its azimuths
    starts // [[thermal/, …], bond_curves.csv, [model_0/, …], [bond_curves.csv of each]]; sticking: [phase, surface/, gmnn/, curves]
    settings
    checkpoints

    main:
    todo = before.filter { !it.enough }
    if (experiment == 'sticking') {
        def s = settings.sticking
        def ids = s.potential == 'gmnn' && s.truth ? ['model', 'truth'] : ['model']
        def asked = settings.steps['run-collisions'] + Given.potential(s)
        def each = rounds[number].size() * s.n_polar
        RUN_COLLISIONS(
            todo.combine(starts).flatMap { now, phase, surface, folder, curve ->
                def open = number ? now.conditions.count { it.phase == phase && !it.enough } : s.energies_K.size() * s.surface_temperatures_K.size()
                [ids, Settings.shards(open * each, s.shard_size)].combinations().collect { id, shard ->
                    [shard + [id: id, phase: phase, keep_paths: 0, name: "round_${number}_${id}_${phase}_${shard.first_id}".toString(),
                              azimuths: [rounds[number][0], rounds[number].size()],
                              campaign: asked + (id == 'truth' ? Given.truth(s) + [model_error: false] : [:])],
                     surface] + (id == 'truth' ? [[], []] : [folder, curve]) + [now.decision]
                }
            },
            checkpoints, settings.code['run_collisions.py'],
        )
        ended = RUN_COLLISIONS.out.toSortedList { a, b -> a[0].name <=> b[0].name }
        limits = [target_halfwidth: s.target_halfwidth, round_size: rounds[0].size() * s.n_polar, limit: s.n_azimuth * s.n_polar]
    }
    else {
        def p = settings.photodesorption
        EXCITE(
            todo.combine(starts).flatMap { now, snapshots, curves, models, tables -> rounds[number].collect { [it, snapshots, curves] } },
            settings.steps['excite'], settings.code['excite.py'],
        )
        RUN_TRAJECTORIES(
            EXCITE.out.combine(starts).map { meta, states, snapshots, curves, models, tables -> [meta, states, tables, models] },
            settings.steps['run-trajectories'] + Given.potential(p), checkpoints, settings.code['run_trajectories.py'],
        )
        ended = RUN_TRAJECTORIES.out.toSortedList { a, b -> a[0].first_id <=> b[0].first_id }
        limits = [target_halfwidth: p.target_halfwidth, round_size: rounds[0].sum { it.n }, limit: p.n_trajectories,
                  n_aggregates: settings.frames.n_aggregates]
    }
    ran = todo.combine(ended.filter { it }.map { [it] }).map { now, found ->
        def truth = found.findAll { it[0].id == 'truth' }
        now + [shards: now.shards + (found - truth).collect { it[1] }, truth: now.truth + truth.collect { it[1] }]
    }
    ENOUGH(
        ran.map { [number, it.shards] }, limits + [experiment: experiment, model_error_scale: settings.model_error_scale],
        settings.code['enough_trajectories.py'],
    )

    emit:
    state = ran.map { [it] }.combine(ENOUGH.out).map { now, decision ->
        now + [decision: decision] + new groovy.json.JsonSlurperClassic().parse(decision.toFile()).subMap('conditions', 'enough', 'reason')
    }.mix(before.filter { it.enough })
}
