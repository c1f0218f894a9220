// ScheduleFree
