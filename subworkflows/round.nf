// One round of active learning: a committee trained on all frames so far says which frames it does not know, and these
// are labelled. What is clean already passes through untouched.

include { LABEL } from './labels'
include { PREPARE_DATASET } from '../modules/dataset'
include { TRAIN_DEEPMD } from '../modules/train'
include { TRAIN_GMNN } from '../modules/gmnn'
include { PREPARE_SURFACE; TAKE_MOLECULES_OUT } from '../modules/surface'
include { PROPOSE } from '../modules/learn'

workflow ROUND {
    take:
    done        // rounds before this one
    state       // as learn.nf emits it
    learning
    given
    settings
    checkpoints

    main:
    def number = learning.first + done
    def id = "${learning.id}${number}".toString()
    todo = state.filter { !it.clean }

    if (learning.committee == 'deepmd') { // every member is a task of its own; other committees are trained by the step
        PREPARE_DATASET(
            todo.map { [id, it.frames] },
            settings.steps['prepare-dataset'], 'CO', settings.code['prepare_dataset.py'],
        )
        TRAIN_DEEPMD(
            PREPARE_DATASET.out.flatMap { name, dataset ->
                (0..<settings.deepmd.n_models).collect { [name, it, learning.n_steps, dataset] }
            },
            learning.bond_curve, settings.steps['train-deepmd'], checkpoints, settings.code['train_deepmd.py'],
        )
        committee = TRAIN_DEEPMD.out.toSortedList { a, b -> a[1] <=> b[1] }.filter { it }
            .map { rows -> [models: rows.collect { it[2] }] }
    }
    else if (learning.committee == 'gmnn') { // of interactions or of whole energies, and the surfaces that it makes
        frames = todo.map { it.frames }
        curves = Channel.value([])
        if (learning.molecules != null) {
            TAKE_MOLECULES_OUT(
                frames, learning.molecules, settings.steps['take-molecules-out'], settings.code['take_molecules_out.py'],
            )
            frames = TAKE_MOLECULES_OUT.out.frames
            curves = TAKE_MOLECULES_OUT.out.curves.first()
        }
        PREPARE_DATASET(
            frames.map { [id, it] }, settings.steps['prepare-dataset'], 'any', settings.code['prepare_dataset.py'],
        )
        // A committee that is ready makes the first proposals itself; later ones go on from the one before, or begin anew.
        ready = todo.filter { it.model && !it.rounds }.map { it.model }
        before = todo.filter { !it.model || it.rounds }.map { [learning.further_epochs ? it.model : []] }
        TRAIN_GMNN(
            PREPARE_DATASET.out.combine(before), settings.steps['train-gmnn'], learning.further_epochs, checkpoints,
            settings.code['train_gmnn.py'],
        )
        trained = ready.mix(TRAIN_GMNN.out.map { name, folder -> folder })
        driver = trained.map { [it] }.combine(curves.map { [it] })
        PREPARE_SURFACE(
            Channel.fromList(settings.sticking.phases).combine(driver), Given.surfaceFiles(settings.sticking),
            settings.steps['prepare-surface'] + Given.surfaceNames(settings.sticking) + [n_snapshots: 1], settings.code['prepare_surface.py'],
        )
        committee = driver.combine(PREPARE_SURFACE.out.toSortedList { a, b -> a[0] <=> b[0] }.filter { it }.map { [it] })
            .map { model, curve, surfaces -> [model: model, curves: curve, surfaces: surfaces.collect { it[1] }] }
    }
    else {
        committee = Channel.value([:])
    }
    model = learning.committee == 'gmnn' ? trained : Channel.value([])
    PROPOSE(
        todo.combine(committee).combine(given).map { now, members, same ->
            def files = [frames: now.frames, before: now.rounds.takeRight(1)].subMap(learning.takes) + members + same
            def named = files.findAll { option, found -> found }.collectMany { option, found -> [found].flatten().collect { [option, it] } }
            [id, number, named.collect { it[0] }, named.collect { it[1] }]
        },
        learning.subMap('step', 'takes'), settings.steps[learning.step], checkpoints, settings.code["${learning.step.replace('-', '_')}.py".toString()],
    )
    proposed = PROPOSE.out.map { name, folder, summary ->
        // Read at once: the lazy map of JsonSlurper is not safe where several operators share it.
        def found = new groovy.json.JsonSlurperClassic().parse(summary.toFile())
        [folder, [n_candidates: found.n_candidates as int, clean: found.clean as boolean].asImmutable()]
    }
    LABEL(
        proposed.filter { folder, summary -> summary.n_candidates > 0 }
            .map { folder, summary -> [learning.asked + [id: id], folder.resolve('candidates.extxyz')] },
        settings, checkpoints,
    )
    labelled = LABEL.out.labelled.join(LABEL.out.failed).map { meta, frames, failed -> [[frames], [failed]] }
        .mix(proposed.filter { folder, summary -> summary.n_candidates == 0 }.map { [[], []] })

    emit:
    state = todo.combine(proposed).combine(labelled).combine(model.map { [it] })
        .map { now, folder, summary, frames, failed, members ->
            [frames: now.frames + frames, failed: now.failed + failed, rounds: now.rounds + [folder], clean: summary.clean,
             model: members]
        }
        .mix(state.filter { it.clean })
}
