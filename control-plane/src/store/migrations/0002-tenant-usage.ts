/**
 * Revision 2: what tenants use, for their shares and caps. Column meanings: ../tables.ts.
 *
 * `tenant_usage` is what a lease is measured by. It first takes the tenant's turn (with `count_all`
 * the platform's, too), which lasts until the transaction ends, and then counts: a function sees in
 * each of its statements what was committed before that statement, so it counts every lease that
 * took its turn earlier. The statement that calls it can therefore lease in the same breath. What
 * is not asked for (null) is not counted.
 */
export const statements: readonly string[] = [
  `create table tenant_minutes (
    tenant text not null,
    month text not null,
    minutes bigint not null,
    primary key (tenant, month)
  )`,
  `insert into tenant_minutes (tenant, month, minutes)
    select tenant, to_char(to_timestamp(adopted_at_ms / 1000.0) at time zone 'UTC', 'YYYY-MM'),
      sum(greatest(1, ceil((finished_at_ms - adopted_at_ms) / 60000.0)))
    from jobs
    where adopted_at_ms is not null and finished_at_ms is not null and conclusion <> 'lost'
    group by 1, 2`,
  `create index jobs_leased_by_tenant on jobs (tenant, leased_at_ms)
    where leased_at_ms is not null`,
  `create index jobs_leased_by_repository on jobs (repository, leased_at_ms)
    where leased_at_ms is not null`,
  // Minutes of jobs that ended, and of those that run so far.
  `create function month_minutes(
      of_tenant text, of_month text, month_start_ms bigint, now_ms bigint)
    returns bigint language sql stable as $$
      select coalesce((
        select minutes from tenant_minutes where tenant = of_tenant and month = of_month
      ), 0) + coalesce((
        select sum(greatest(1, ceil((now_ms - adopted_at_ms) / 60000.0)))::bigint from jobs
        where tenant = of_tenant and state = 'running' and adopted_at_ms >= month_start_ms
      ), 0)
    $$`,
  `create function tenant_usage(
      of_tenant text, of_run uuid, of_key text, now_ms bigint,
      count_all boolean, recent_since_ms bigint, of_month text, month_start_ms bigint)
    returns table (
      all_active bigint, tenant_active bigint, matrix_active bigint, tenant_recent bigint,
      minutes bigint)
    language plpgsql volatile rows 1 set plan_cache_mode = force_generic_plan as $$
    begin
      -- Always in this order, so that two leases never wait for each other.
      if count_all then
        perform pg_advisory_xact_lock(hashtextextended('onejob global', 0));
      end if;
      perform pg_advisory_xact_lock(hashtextextended('onejob tenant ' || of_tenant, 0));
      return query select
        case when count_all then (
          select count(*) from jobs where state in ('leased', 'starting', 'running')
        ) else 0 end,
        (select count(*) from jobs
          where tenant = of_tenant and state in ('leased', 'starting', 'running')),
        case when of_key is null then 0 else (
          select count(*) from jobs
          where tenant = of_tenant and run_id = of_run and key = of_key
            and state in ('leased', 'starting', 'running')
        ) end,
        case when recent_since_ms is null then 0 else (
          select count(*) from jobs where tenant = of_tenant and leased_at_ms > recent_since_ms
        ) end,
        case when of_month is null then 0
          else month_minutes(of_tenant, of_month, month_start_ms, now_ms) end;
    end $$`,
];
