// Experiments that are one campaign: shards → table and section. Their physics is their own, the graph is one for all.

include { RUN_CAMPAIGN; ANALYSE_CAMPAIGN; RUN_LABELLING; ANALYSE_LABELLING } from '../modules/campaign'

workflow CAMPAIGN {
    take:
    given // [experiment, settings that are files, these files], e.g. ['toy', ['model'], [model/]]
    settings
    checkpoints

    main:
    def shards = given.flatMap { name, reads, files ->
        def s = settings.alone[name]
        def of = [experiment: name, settings: s, reads: reads, code: settings.code[name]]
        Settings.shards(s.n_trajectories, s.shard_size).collect { [it + of, files] }
    }
    // An experiment whose settings name a level of theory labels its frames, or some of its samples.
    def kinds = shards.branch { meta, files ->
        labels: meta.settings.containsKey('level') || meta.settings.truth in ['gfn1-xtb', 'gfn2-xtb']
        runs: true
    }
    RUN_CAMPAIGN(kinds.runs, settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    RUN_LABELLING(kinds.labels, settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    def whole = { ended ->
        ended.map { meta, shard -> [meta.experiment, meta.subMap('experiment', 'settings', 'reads', 'code'), shard] }
            .groupTuple(by: [0, 1]).join(given.map { name, reads, files -> [name, files] })
            .map { name, meta, found, files -> [meta, files, found.sort { it.name }] }
    }
    ANALYSE_CAMPAIGN(whole(RUN_CAMPAIGN.out), settings.campaign_seed, settings.code['analyse_campaign.py'])
    ANALYSE_LABELLING(whole(RUN_LABELLING.out), settings.campaign_seed, settings.code['analyse_campaign.py'])

    emit:
    sections = ANALYSE_CAMPAIGN.out.mix(ANALYSE_LABELLING.out)
}
