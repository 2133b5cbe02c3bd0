// Experiments that are one campaign: shards → table and section. Their physics is their own, the graph is one for all.

include { RUN_CAMPAIGN; ANALYSE_CAMPAIGN; RUN_LABELLING; ANALYSE_LABELLING } from '../modules/campaign'

workflow CAMPAIGN {
    take:
    experiments // e.g. ['toy']
    settings
    checkpoints

    main:
    def read = { name -> settings.reads[name].values().collect { file(it, glob: false) } }
    def shards = experiments.collectMany { name ->
        def s = settings.alone[name]
        def of = [experiment: name, settings: s, reads: settings.reads[name].keySet() as List, code: settings.code[name]]
        Settings.shards(s.n_trajectories, s.shard_size).collect { [it + of, read(name)] }
    }
    // An experiment whose settings name a level of theory labels its frames, or runs under it.
    def kinds = Channel.fromList(shards).branch { meta, files ->
        labels: meta.settings.containsKey('level') || meta.settings.truth in ['gfn1-xtb', 'gfn2-xtb']
        runs: true
    }
    RUN_CAMPAIGN(kinds.runs, settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    RUN_LABELLING(kinds.labels, settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    def whole = { ended ->
        ended.map { meta, shard -> [meta.subMap('experiment', 'settings', 'reads', 'code'), shard] }.groupTuple()
            .map { meta, found -> [meta, read(meta.experiment), found.sort { it.name }] }
    }
    ANALYSE_CAMPAIGN(whole(RUN_CAMPAIGN.out), settings.campaign_seed, settings.code['analyse_campaign.py'])
    ANALYSE_LABELLING(whole(RUN_LABELLING.out), settings.campaign_seed, settings.code['analyse_campaign.py'])

    emit:
    sections = ANALYSE_CAMPAIGN.out.mix(ANALYSE_LABELLING.out)
}
