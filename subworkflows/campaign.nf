// Experiments that are one campaign: shards → table and section. Their physics is their own, the graph is one for all.

include { RUN_CAMPAIGN; ANALYSE_CAMPAIGN } from '../modules/campaign'

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
    RUN_CAMPAIGN(Channel.fromList(shards), settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    ANALYSE_CAMPAIGN(
        RUN_CAMPAIGN.out.map { meta, shard -> [meta.subMap('experiment', 'settings', 'reads', 'code'), shard] }.groupTuple()
            .map { meta, found -> [meta, read(meta.experiment), found.sort { it.name }] },
        settings.campaign_seed, settings.code['analyse_campaign.py'],
    )

    emit:
    sections = ANALYSE_CAMPAIGN.out
}
