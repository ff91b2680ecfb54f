"""When cars charge at the least cost: for one charger, for one site, for many of both.

Plain data in, plan out. It knows no OCPP, no Ray, no database, no clock and no files; the time is an argument.
Units are in the names: powers in kW and energies in kWh at the meter, unless a name says otherwise; moments are aware.
Money is a float in one currency: a plan compares and adds prices, and a solver's tolerance is coarser than any
rounding of theirs. No bill is made from a plan; bills are counted in Decimal from what was metered.
"""
