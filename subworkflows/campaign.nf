// Experiments that are one campaign: shards → table and section. Their physics is their own, the graph is one for all.

include { RUN_CAMPAIGN; ANALYSE_CAMPAIGN } from '../modules/campaign'

workflow CAMPAIGN {
    take:
    experiments // e.g. ['toy']
    settings
    checkpoints

    main:
    def shards = experiments.collectMany { name ->
        def s = settings.alone[name]
        Settings.shards(s.n_trajectories, s.shard_size).collect { it + [experiment: name, settings: s, code: settings.code[name]] }
    }
    RUN_CAMPAIGN(Channel.fromList(shards), settings.campaign_seed, checkpoints, settings.code['run_campaign.py'])
    ANALYSE_CAMPAIGN(
        RUN_CAMPAIGN.out.map { meta, shard -> [meta.subMap('experiment', 'settings', 'code'), shard] }.groupTuple()
            .map { meta, found -> [meta, found.sort { it.name }] },
        settings.campaign_seed, settings.code['analyse_campaign.py'],
    )

    emit:
    sections = ANALYSE_CAMPAIGN.out
}
