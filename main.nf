#!/usr/bin/env nextflow
// frazil: parameters → experiments → report. `nextflow run main.nf --help` lists the parameters.

include { CAMPAIGN                } from './subworkflows/campaign'
include { DYNAMIC_TRAINING        } from './subworkflows/dynamic_training'
include { INFRARED                } from './subworkflows/infrared'
include { LEVEL_OF_THEORY         } from './subworkflows/level_of_theory'
include { PHOTODESORPTION         } from './subworkflows/photodesorption'
include { LEARN_REACTION          } from './subworkflows/reaction'
include { STICKING                } from './subworkflows/sticking'
include { KEEP_TRAJECTORIES; RENDER_REPORT; SHOW_TRAJECTORIES; VERSIONS } from './modules/report'

workflow {
    main:
    if (params.containsKey('help')) {
        println(Settings.help(projectDir))
        exit(0)
    }
    run = Settings.resolve(new LinkedHashMap(params) + (workflow.stubRun ? [yes: true] : [:]), projectDir)
    if (run.cost) {
        log.info(run.cost)
    }
    settings = run.parameters + [steps: run.steps, code: run.code, files: run.files, names: run.names, alone: run.alone, reads: run.reads]
    Results.take(settings.outdir, workflow, projectDir)
    Grid.check(workflow.workDir)
    images = Images.verified(projectDir)
    checkpoints = "${workflow.workDir}/checkpoints".replace("'", "'\\''") // the scripts quote it

    sections = Channel.empty()
    shown = Channel.empty() // [experiment, [its folder of results, its potential's]]
    others = Channel.empty() // the same of experiments whose typical trajectories are not shown
    if ('photodesorption' in settings.experiments) {
        PHOTODESORPTION(settings, checkpoints)
        sections = sections.mix(PHOTODESORPTION.out.sections)
        shown = shown.mix(PHOTODESORPTION.out.sections.toSortedList { a, b -> a.name <=> b.name }.map { ['photodesorption', it] })
    }
    if ('sticking' in settings.experiments) {
        STICKING(settings, checkpoints)
        sections = sections.mix(STICKING.out.sections)
        shown = shown.mix(STICKING.out.sections.toSortedList { a, b -> a.name <=> b.name }.map { ['sticking', it] })
    }
    if ('level_of_theory' in settings.experiments) {
        LEVEL_OF_THEORY(settings, checkpoints)
        sections = sections.mix(LEVEL_OF_THEORY.out.sections)
    }
    if ('infrared' in settings.experiments) {
        INFRARED(settings, checkpoints)
        sections = sections.mix(INFRARED.out.sections)
        others = others.mix(INFRARED.out.sections.mix(INFRARED.out.learned).toSortedList { a, b -> a.name <=> b.name }.map { ['infrared', it] })
    }
    if ('dynamic_training' in settings.experiments) {
        DYNAMIC_TRAINING(settings, checkpoints)
        sections = sections.mix(DYNAMIC_TRAINING.out.sections)
        others = others.mix(DYNAMIC_TRAINING.out.sections.map { ['dynamic_training', [it]] })
    }
    alone = settings.experiments.findAll { it in run.alone.keySet() }
    if (alone) {
        learns = 'reaction' in alone && !settings.reaction.model
        given = Channel.fromList((learns ? alone - 'reaction' : alone).collect { name ->
            [name, run.reads[name].keySet() as List, run.reads[name].values().collect { file(it, glob: false) }]
        })
        if (learns) {
            LEARN_REACTION(settings, checkpoints)
            given = given.mix(LEARN_REACTION.out.given)
        }
        CAMPAIGN(given, settings, checkpoints)
        sections = sections.mix(CAMPAIGN.out.sections)
        others = others.mix(CAMPAIGN.out.sections.map { [it.name, [it]] })
    }
    SHOW_TRAJECTORIES(shown, settings.code['show_trajectories.py'])
    kept = (settings.keep_trajectories ? shown.mix(others) : Channel.empty()).map { name, results ->
        def reads = settings.reads[name] ?: [:]
        def own = settings.alone[name] ?: run.parameters[name]
        [name, results, [campaign_seed: settings.campaign_seed, (name): own], reads.keySet() as List, reads.values().collect { file(it, glob: false) }]
    }
    KEEP_TRAJECTORIES(kept, settings.keep_trajectories, settings.keep_frames, settings.code['keep_trajectories.py'])
    sections = sections.mix(SHOW_TRAJECTORIES.out, KEEP_TRAJECTORIES.out)
    VERSIONS(settings.code['collect_versions.py'])
    RENDER_REPORT(sections.collect(sort: { it.name }), VERSIONS.out, run.parameters, settings.code['render_report.py'])

    workflow.onComplete = {
        Provenance.write(workflow, run.parameters, images, run.code.all, projectDir)
        Settings.tell(projectDir, run.parameters.outdir)
        Results.leave()
        if (workflow.success) {
            Settings.sweep(projectDir, "${workflow.workDir}/checkpoints".toString(), workflow.sessionId)
        }
    }
}
